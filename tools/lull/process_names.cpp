#include "process_names.hpp"

#include <sys/stat.h>

#include <fstream>

namespace lull::tool {
namespace {

/// The inode number of the first PID namespace, fixed by the kernel (PROC_PID_INIT_INO in
/// include/linux/proc_ns.h).
constexpr ino_t first_pid_namespace = 0xEFFFFFFC;

bool in_first_pid_namespace() {
  struct stat facts {};
  return ::stat("/proc/self/ns/pid", &facts) == 0 && facts.st_ino == first_pid_namespace;
}

}  // namespace

std::string listed_process_name(std::int64_t id) {
  static const bool ids_are_ours = in_first_pid_namespace();
  if (!ids_are_ours) return "-";
  std::ifstream in("/proc/" + std::to_string(id) + "/comm");
  std::string name;
  if (!std::getline(in, name) || name.empty()) return "-";
  return name;
}

}  // namespace lull::tool
