#ifndef LULL_TESTS_GPU_CHECKS_LIBRARIES_HPP
#define LULL_TESTS_GPU_CHECKS_LIBRARIES_HPP

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace gpu_checks {

/// The folder of the machine that has cuBLAS: that of a CUDA toolkit, or of a Python environment
/// with PyTorch, which the dynamic linker does not know. It is too large to be carried in a bundle.
/// @param roots where toolkits and Python environments may lie, as "/usr/local" and "/opt"
std::optional<std::filesystem::path> cublas_folder(const std::vector<std::filesystem::path>& roots);

/// Where they usually lie here: some known folders, and those whose bin/ is in PATH.
std::vector<std::filesystem::path> usual_roots();

}  // namespace gpu_checks

#endif  // LULL_TESTS_GPU_CHECKS_LIBRARIES_HPP
