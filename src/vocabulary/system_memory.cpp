#include "vocabulary/system_memory.hpp"

#include <algorithm>
#include <fstream>
#include <string>

namespace lull::detail {
namespace {

namespace fs = std::filesystem;

/// The number in the line that starts with `key`, as in "MemTotal:  24576 kB".
std::optional<std::uint64_t> number_after(const fs::path& file, std::string_view key) {
  std::ifstream in(file);
  std::string name;
  while (in >> name) {
    std::uint64_t value = 0;
    if (name == key && in >> value) return value;
    in.clear();
    in.ignore(1 << 16, '\n');
  }
  return std::nullopt;
}

/// A file that holds one number; "max" and a missing file are no number.
std::optional<std::uint64_t> number_in(const fs::path& file) {
  std::ifstream in(file);
  std::uint64_t value = 0;
  return in >> value ? std::optional{value} : std::nullopt;
}

/// The path of our control group below the root group, "user.slice/x", from the "0::" line of
/// version 2.
std::optional<std::string> control_group(const fs::path& file) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("0::/")) return line.substr(4);
  }
  return std::nullopt;
}

void apply_limit(const fs::path& group, system_memory& memory) {
  const auto limit = number_in(group / "memory.max");
  if (!limit) return;
  memory.total_bytes = std::min(memory.total_bytes, *limit);
  // Page cache is charged to the group but given up before anything fails.
  const auto current = number_in(group / "memory.current").value_or(0);
  const auto cache = number_after(group / "memory.stat", "inactive_file").value_or(0);
  const auto held = current > cache ? current - cache : 0;
  memory.available_bytes = std::min(memory.available_bytes, *limit > held ? *limit - held : 0);
}

}  // namespace

std::optional<system_memory> read_system_memory(const fs::path& root) {
  const auto total_kib = number_after(root / "proc/meminfo", "MemTotal:");
  const auto available_kib = number_after(root / "proc/meminfo", "MemAvailable:");
  if (!total_kib || !available_kib) return std::nullopt;

  system_memory memory{*total_kib * 1024, *available_kib * 1024};
  if (const auto group = control_group(root / "proc/self/cgroup")) {
    const fs::path top = root / "sys/fs/cgroup";
    // A limit anywhere above us binds us too.
    for (fs::path at = *group;; at = at.parent_path()) {
      apply_limit(top / at, memory);
      if (at.empty()) break;
    }
  }
  return memory;
}

}  // namespace lull::detail
