#ifndef LULL_PROCESS_EXIT_EVENT_HPP
#define LULL_PROCESS_EXIT_EVENT_HPP

#include <lull/process.hpp>

#include <functional>
#include <thread>

#include "vocabulary/unique_fd.hpp"

namespace lull::detail {

/// Starts a thread that takes no signals: the handlers of the program run on the program's threads.
/// @throws error (out_of_host_memory) when there is none to be had
std::thread start_quiet_thread(std::function<void()> work);

/// The end of a child of this process, as a descriptor for poll(2), and its reaping.
class exit_event {
 public:
  /// @param use_pidfd whether the kernel's process descriptor may be used; where it may not or does
  ///        not exist, a thread waits for the child
  /// @throws error (io)
  exit_event(int id, bool use_pidfd);
  ~exit_event();
  exit_event(const exit_event&) = delete;
  exit_event& operator=(const exit_event&) = delete;

  /// Readable from the child's end on.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_.get(); }

  /// Whether the id is still the child's: it runs, or is a zombie that nobody has reaped.
  [[nodiscard]] bool is_ours() const noexcept;

  /// Reaps the child, which has ended. Unknown when somebody else did.
  [[nodiscard]] exit_status reap() noexcept;

 private:
  int wait_for(void* info, int flags) const noexcept;

  int id_;
  bool is_pidfd_ = false;
  unique_fd descriptor_;
  std::thread waiter_;
};

}  // namespace lull::detail

#endif  // LULL_PROCESS_EXIT_EVENT_HPP
