#include "process/exit_event.hpp"

#include <lull/error.hpp>

#include <sys/eventfd.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <system_error>

#include "process/proc_stat.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

/// P_PIDFD of Linux 5.4, which headers before glibc 2.36 lack.
constexpr auto by_pidfd = static_cast<idtype_t>(3);

int wait_retrying(idtype_t by, id_t which, siginfo_t* info, int flags) noexcept {
  while (true) {
    if (::waitid(by, which, info, flags) == 0) return 0;
    if (errno != EINTR) return errno;
  }
}

exit_status to_status(const siginfo_t& info) noexcept {
  exit_status result;
  result.how =
      info.si_code == CLD_EXITED ? exit_status::kind::exited : exit_status::kind::signalled;
  result.value = info.si_status;
  result.core_dumped = info.si_code == CLD_DUMPED;
  return result;
}

}  // namespace

std::thread start_quiet_thread(std::function<void()> work) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // a new thread inherits it
  try {
    std::thread result(std::move(work));
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return result;
  } catch (const std::system_error& failure) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    fail(status::out_of_host_memory, "no thread for a process: {}", failure.code().message());
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
}

exit_event::exit_event(int id, bool use_pidfd) : id_(id) {
  if (use_pidfd) descriptor_ = open_pidfd(id);
  is_pidfd_ = descriptor_.get() >= 0;
  if (is_pidfd_) return;
  descriptor_ = unique_fd(::eventfd(0, EFD_CLOEXEC));
  if (!descriptor_) {
    fail_call(status::io, "eventfd", errno, text("waiting for process {}", id));
  }
  waiter_ = start_quiet_thread([id, event = descriptor_.get()] {
    siginfo_t info{};
    // WNOWAIT leaves the zombie, which keeps the id from being used again.
    wait_retrying(P_PID, static_cast<id_t>(id), &info, WEXITED | WNOWAIT);
    ::eventfd_write(event, 1);
  });
}

exit_event::~exit_event() {
  if (waiter_.joinable()) waiter_.join();
}

int exit_event::wait_for(void* info, int flags) const noexcept {
  auto* const to = static_cast<siginfo_t*>(info);
  if (is_pidfd_) {
    const int failed =
        wait_retrying(by_pidfd, static_cast<id_t>(descriptor_.get()), to, flags | WEXITED);
    if (failed != EINVAL) return failed;  // Linux 5.3 has the descriptors but not this wait
  }
  return wait_retrying(P_PID, static_cast<id_t>(id_), to, flags | WEXITED);
}

bool exit_event::is_ours() const noexcept {
  siginfo_t info{};
  return wait_for(&info, WNOHANG | WNOWAIT) == 0;
}

exit_status exit_event::reap() noexcept {
  siginfo_t info{};
  if (wait_for(&info, WNOHANG) != 0 || info.si_pid != id_) return {};
  return to_status(info);
}

}  // namespace lull::detail
