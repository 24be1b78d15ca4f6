// What the kernel says of memory and control groups, as files.

#include "vocabulary/system_memory.hpp"

#include <lull/error.hpp>

#include <stdlib.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "expect.hpp"

namespace {

namespace fs = std::filesystem;

/// A folder with "proc" and a group in it; goes with the process.
class world {
 public:
  world() {
    std::string name = fs::temp_directory_path() / "lull-fuzz-XXXXXX";
    expect(::mkdtemp(name.data()) != nullptr, "there is a folder");
    root_ = name;
    fs::create_directories(root_ / "proc/self");
    fs::create_directories(root_ / "group/a/b");
  }
  ~world() {
    std::error_code failed;
    fs::remove_all(root_, failed);
  }
  void write(const char* file, std::string_view text) const {
    std::ofstream(root_ / file, std::ios::trunc) << text;
  }
  [[nodiscard]] const fs::path& root() const { return root_; }

 private:
  fs::path root_;
};

}  // namespace

/// Files with a zero between them: meminfo, mountinfo, cgroup, and the limits of a group.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  static const world here;
  std::string_view rest(reinterpret_cast<const char*>(bytes), count);
  constexpr std::array files{
      "proc/meminfo",     "proc/self/mountinfo",           "proc/self/cgroup",
      "group/memory.max", "group/a/memory.limit_in_bytes", "group/a/memory.stat"};
  for (const char* const file : files) {
    const std::size_t end = std::min(rest.find('\0'), rest.size());
    here.write(file, rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  static_cast<void>(lull::detail::read_system_memory(here.root()));
  return 0;
}
