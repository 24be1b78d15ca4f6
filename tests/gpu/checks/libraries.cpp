#include "libraries.hpp"

#include <glob.h>

#include <cstdlib>
#include <sstream>

namespace gpu_checks {
namespace {

namespace fs = std::filesystem;

/// The first file that fits.
std::optional<fs::path> first_match(const std::string& pattern) {
  glob_t found{};
  std::optional<fs::path> first;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) first = found.gl_pathv[0];
  ::globfree(&found);
  return first;
}

}  // namespace

std::optional<fs::path> cublas_folder(const std::vector<fs::path>& roots) {
  for (const fs::path& root : roots) {
    for (const char* const place : {"cuda*/lib64", "lib/python3*/*-packages/nvidia/cublas/lib",
                                    "lib/python3*/*-packages/nvidia/cu1[0-9]/lib"}) {
      const auto file = first_match((root / place / "libcublas.so.1[23]").string());
      if (file) return file->parent_path();
    }
  }
  return std::nullopt;
}

std::vector<fs::path> usual_roots() {
  std::vector<fs::path> roots{"/usr/local", "/usr", "/opt"};
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string each; std::getline(folders, each, ':');) {
    const fs::path folder(each);
    if (folder.is_absolute() && folder.filename() == "bin") roots.push_back(folder.parent_path());
  }
  return roots;
}

}  // namespace gpu_checks
