#include "vocabulary/system_memory.hpp"

#include <lull/error.hpp>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

// Paths are strings here: appending to a std::filesystem::path of libstdc++ 12 without memory ends
// in a crash, and this is asked for in every transition.

/// @throws error (io) when it is not known whether the file is there, for want of a descriptor:
///         that is not to be without limits
std::ifstream open_file(const std::string& file) {
  errno = 0;
  std::ifstream in(file);
  const int code = errno;
  if (!in.is_open() && (code == EMFILE || code == ENFILE || code == ENOMEM)) {
    fail_call(status::io, "open", code, file);
  }
  return in;
}

/// The number in the line that starts with `key`, as in "MemTotal:  24576 kB".
std::optional<std::uint64_t> number_after(const std::string& file, std::string_view key) {
  std::ifstream in = open_file(file);
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
std::optional<std::uint64_t> number_in(const std::string& file) {
  std::ifstream in = open_file(file);
  std::uint64_t value = 0;
  return in >> value ? std::optional{value} : std::nullopt;
}

// Constants, which nothing destroys: a question that is late may be under way while the process
// exits.

/// How a version of control groups names what is asked here.
struct group_files {
  std::span<const char* const> limits;
  const char* usage;
  const char* cache;  ///< in memory.stat
};
constexpr const char* version_1_limits[] = {"memory.limit_in_bytes"};
constexpr group_files version_1{version_1_limits, "memory.usage_in_bytes", "total_inactive_file"};
// Above memory.high nothing fails, but everything in the group is made to wait.
constexpr const char* version_2_limits[] = {"memory.max", "memory.high"};
constexpr group_files version_2{version_2_limits, "memory.current", "inactive_file"};

/// A mounted hierarchy that may limit memory.
struct hierarchy {
  const group_files* files;
  std::string mount_point;    ///< "/sys/fs/cgroup/memory"
  std::string mounted_group;  ///< the group that is seen there: "/", in a container often its own
};

bool lists(std::string_view comma_separated, std::string_view word) {
  while (!comma_separated.empty()) {
    const auto end = std::min(comma_separated.find(','), comma_separated.size());
    if (comma_separated.substr(0, end) == word) return true;
    comma_separated.remove_prefix(std::min(end + 1, comma_separated.size()));
  }
  return false;
}

/// From /proc/self/mountinfo (proc_pid_mountinfo(5)).
std::vector<hierarchy> hierarchies(const std::string& root) {
  std::vector<hierarchy> all;
  std::ifstream in = open_file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string skipped, group, place, type, source, options;
    words >> skipped >> skipped >> skipped >> group >> place;
    while (words >> skipped && skipped != "-") {
    }
    words >> type >> source >> options;
    if (type == "cgroup2") all.push_back({&version_2, place, group});
    if (type == "cgroup" && lists(options, "memory")) all.push_back({&version_1, place, group});
  }
  // Where the list of mounts cannot be read: the usual place of version 2.
  if (all.empty()) all.push_back({&version_2, "/sys/fs/cgroup", "/"});
  return all;
}

/// The group of a process in a hierarchy, "/user.slice/x", from the line "0::" of version 2 or
/// "4:memory:".
std::optional<std::string> control_group(const std::string& root, const std::string& process,
                                         const hierarchy& in_which) {
  std::ifstream in = open_file(root + "/proc/" + process + "/cgroup");
  for (std::string line; std::getline(in, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const auto controllers = std::string_view(line).substr(first + 1, second - first - 1);
    const bool ours =
        in_which.files == &version_2 ? line.starts_with("0::") : lists(controllers, "memory");
    if (ours) return line.substr(second + 1);
  }
  return std::nullopt;
}

void apply_limits(const std::string& group, const group_files& files, system_memory& memory) {
  for (const char* const name : files.limits) {
    const auto limit = number_in(group + "/" + name);
    if (!limit) continue;
    memory.total_bytes = std::min(memory.total_bytes, *limit);
    // Page cache is charged to the group but given up before anything fails.
    const auto current = number_in(group + "/" + files.usage).value_or(0);
    const auto cache = number_after(group + "/memory.stat", files.cache).value_or(0);
    const auto held = current > cache ? current - cache : 0;
    memory.available_bytes = std::min(memory.available_bytes, *limit > held ? *limit - held : 0);
  }
}

/// The part of our group's path that lies below what is mounted, "/x/y" or nothing. Where our group
/// is outside of it, as in a container without a namespace of its own, only the mounted group
/// itself can be seen.
std::string below_mount(const std::string& group, const std::string& mounted_group) {
  if (mounted_group == "/") return group == "/" ? "" : group;
  if (group != mounted_group && !group.starts_with(mounted_group + "/")) return {};
  return group.substr(mounted_group.size());
}

}  // namespace

std::optional<system_memory> read_system_memory(const std::filesystem::path& below,
                                                const std::string& process) {
  const std::string& root = below.native();
  const auto total_kib = number_after(root + "/proc/meminfo", "MemTotal:");
  const auto available_kib = number_after(root + "/proc/meminfo", "MemAvailable:");
  if (!total_kib || !available_kib) return std::nullopt;

  system_memory memory{*total_kib * 1024, *available_kib * 1024};
  for (const hierarchy& each : hierarchies(root)) {
    const auto group = control_group(root, process, each);
    if (!group) continue;
    const std::string top = root + "/" + each.mount_point;
    // A limit anywhere above us binds us too.
    std::string at = below_mount(*group, each.mounted_group);
    while (true) {
      apply_limits(top + at, *each.files, memory);
      if (at.empty()) break;
      const auto slash = at.rfind('/');
      at.erase(slash == std::string::npos ? 0 : slash);
    }
  }
  return memory;
}

}  // namespace lull::detail
