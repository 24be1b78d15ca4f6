#ifndef LULL_VOCABULARY_SIGPIPE_BLOCKED_HPP
#define LULL_VOCABULARY_SIGPIPE_BLOCKED_HPP

#include <signal.h>
#include <time.h>

#include <cerrno>

namespace lull::detail {

/// Keeps SIGPIPE away from this thread while it exists. A pipe has no MSG_NOSIGNAL, and the
/// signal's handler belongs to the program.
class sigpipe_blocked {
 public:
  sigpipe_blocked() noexcept {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }

  ~sigpipe_blocked() {
    // One that was pending before is somebody else's.
    constexpr timespec at_once{};
    if (!was_pending_) {
      while (::sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {
      }
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

  sigpipe_blocked(const sigpipe_blocked&) = delete;
  sigpipe_blocked& operator=(const sigpipe_blocked&) = delete;

 private:
  sigset_t pipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

}  // namespace lull::detail

#endif  // LULL_VOCABULARY_SIGPIPE_BLOCKED_HPP
