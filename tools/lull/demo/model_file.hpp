#ifndef TOOLS_LULL_DEMO_MODEL_FILE_HPP
#define TOOLS_LULL_DEMO_MODEL_FILE_HPP

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

namespace lull::demo {

/// Makes a model of `bytes` at `path`, unless there is a file already, which is used as it is. A
/// file that was not finished is never found there.
/// @param seed other models have other ones
/// @return the size of the file
/// @throws error io; cancelled
std::uint64_t ensure_model(const std::filesystem::path& path, std::uint64_t bytes,
                           const std::function<void(const std::string& line)>& progress,
                           const std::stop_token& stop, std::uint64_t seed = 1);

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_MODEL_FILE_HPP
