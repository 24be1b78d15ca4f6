#include "outside.hpp"

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <sstream>

#include <fmt/format.h>

namespace sleep_bench {

std::optional<std::vector<std::string>> observer() {
  namespace fs = std::filesystem;
  const fs::path here = fs::read_symlink("/proc/self/exe").parent_path();
  for (const fs::path& each : {here / "lull", here / "../tools/lull/lull"}) {
    if (fs::is_regular_file(each)) return std::vector{each.string(), std::string("observe")};
  }
  return std::nullopt;
}

std::optional<std::uint64_t> used_outside(const std::vector<std::string>& observer,
                                          const std::string& device, std::uint64_t total_bytes) {
  const std::string command = fmt::format("echo | '{}' {}", observer.at(0), observer.at(1));
  const std::unique_ptr<FILE, int (*)(FILE*)> said(::popen(command.c_str(), "r"), ::pclose);
  if (said == nullptr) return std::nullopt;
  std::string line;
  std::array<char, 4096> part;
  while (std::fgets(part.data(), static_cast<int>(part.size()), said.get()) != nullptr) {
    line += part.data();
  }
  std::istringstream words(line);
  std::string name;
  std::uint64_t free_bytes = 0;
  while (words >> name >> free_bytes) {
    if (name == device) return total_bytes - free_bytes;
  }
  return std::nullopt;
}

}  // namespace sleep_bench
