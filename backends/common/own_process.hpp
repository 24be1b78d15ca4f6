#ifndef LULL_BACKENDS_COMMON_OWN_PROCESS_HPP
#define LULL_BACKENDS_COMMON_OWN_PROCESS_HPP

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <optional>

namespace lull::backends {

/// Whether a list of processes that comes from outside this process (a management library, the
/// kernel driver) speaks of this process by the id it knows itself by. In a PID namespace, a
/// container, it may use the ids of the host instead, and then not finding oneself in it means
/// nothing.
class own_process {
 public:
  own_process();

  [[nodiscard]] pid_t id() const noexcept { return id_; }

  /// What this process holds, from what the list says about its id.
  /// @param listed bytes listed for our id; nothing when it is not in the list
  /// @param has_context whether we are known to have a context, and thus to belong in the list
  /// @return the bytes; nothing when it cannot be known
  [[nodiscard]] std::optional<std::uint64_t> judge(std::optional<std::uint64_t> listed,
                                                   bool has_context) noexcept;

 private:
  pid_t id_;
  bool in_first_namespace_;
  /// Seen in the list while we had a context: so the list does use our ids.
  std::atomic<bool> recognized_{false};
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_OWN_PROCESS_HPP
