#include "common/own_process.hpp"

#include <sys/stat.h>
#include <unistd.h>

namespace lull::backends {
namespace {

/// The inode number of the first PID namespace, fixed by the kernel (PROC_PID_INIT_INO in
/// include/linux/proc_ns.h).
constexpr ino_t first_pid_namespace = 0xEFFFFFFC;

bool in_first_pid_namespace() noexcept {
  struct stat facts {};
  return ::stat("/proc/self/ns/pid", &facts) == 0 && facts.st_ino == first_pid_namespace;
}

}  // namespace

own_process::own_process() : id_(::getpid()), in_first_namespace_(in_first_pid_namespace()) {}

std::optional<std::uint64_t> own_process::judge(std::optional<std::uint64_t> listed,
                                                bool has_context) noexcept {
  if (listed) {
    // Without a context it could be another process of the same number, in a namespace of its own.
    if (has_context) recognized_.store(true, std::memory_order_relaxed);
    const bool ours = in_first_namespace_ || recognized_.load(std::memory_order_relaxed);
    return ours ? listed : std::nullopt;
  }
  if (has_context) return std::nullopt;  // we should be in it: it knows us by another id
  const bool known = in_first_namespace_ || recognized_.load(std::memory_order_relaxed);
  return known ? std::optional<std::uint64_t>{0} : std::nullopt;
}

}  // namespace lull::backends
