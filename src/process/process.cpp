// The public face, and everything that the caller's threads do with a child.

#include <lull/error.hpp>
#include <lull/process.hpp>
#include <lull/settle.hpp>

#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <utility>

#include "process/child.hpp"
#include "process/proc_stat.hpp"
#include "vocabulary/call_back.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace detail {
namespace {

double seconds(duration span) {
  return std::chrono::duration<double>(span).count();
}

bool has_null(std::string_view text) {
  return text.find('\0') != std::string_view::npos;
}

void check_signal(int number) {
  if (number < 1 || number >= NSIG) {
    detail::fail(status::invalid_argument, "signal {}: numbers are 1 to {}", number, NSIG - 1);
  }
}

void check_all(const process_options& options) {
  const auto refuse = [](const std::string& words) {
    throw error(status::invalid_argument, "process: " + words);
  };
  if (options.arguments.empty() || options.arguments.front().empty()) {
    refuse("no program: the first argument names it");
  }
  if (std::any_of(options.arguments.begin(), options.arguments.end(), has_null)) {
    refuse("an argument holds a null character");
  }
  for (const auto& [name, value] : options.environment) {
    if (name.empty() || name.find('=') != std::string::npos || has_null(name) ||
        has_null(value.value_or(""))) {
      refuse(detail::text("the environment variable '{}' has a name or value that none can have",
                          name));
    }
  }
  if (options.clock == nullptr) refuse("no clock");
  check(options.stopping);
}

/// As in /proc; '?' where that cannot be seen.
char state_of(int id) noexcept {
  try {
    const auto now = read_proc_stat(id);
    return now ? now->state : '?';
  } catch (...) {
    return '?';
  }
}

/// For a child that nobody watches yet.
void kill_and_reap(int id) noexcept {
  ::kill(-id, SIGKILL);
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(id), &info, WEXITED) != 0 && errno == EINTR) {
  }
}

}  // namespace

void check(const stop_options& how) {
  check_signal(how.signal);
  if (how.grace < duration::zero() || how.kill_wait <= duration::zero() ||
      how.before_kill_timeout <= duration::zero()) {
    throw error(status::invalid_argument,
                "stopping a process: grace must not be negative, kill_wait and "
                "before_kill_timeout must be above 0");
  }
}

void prepare_kill(int id, const stop_options& how, const clock& time,
                  const log_sink& log) noexcept {
  if (!how.before_kill) return;
  struct call {
    std::mutex mutex;
    std::condition_variable changed;
    bool returned = false;
  };
  try {
    const auto shared = std::make_shared<call>();
    std::thread caller = start_quiet_thread([shared, id, log, hook = how.before_kill] {
      call_back(log, "before_kill", hook, id);
      const std::lock_guard lock(shared->mutex);
      shared->returned = true;
      shared->changed.notify_all();
    });
    const time_point deadline = time.deadline_in(how.before_kill_timeout);
    bool returned = false;
    {
      std::unique_lock lock(shared->mutex);
      while (!shared->returned && time.now() < deadline) {
        time.wait_until(shared->changed, lock, deadline);
      }
      returned = shared->returned;
    }
    if (returned) {
      caller.join();
      return;
    }
    caller.detach();
    log_warning(log, "before_kill",
                detail::text("has not returned after {} s; process {} is killed without it",
                             seconds(how.before_kill_timeout), id));
  } catch (...) {
    log_warning(log, "before_kill", current_error(status::internal).what());
  }
}

child::child(process_options options, process_system system)
    : options_(std::move(options)), system_(std::move(system)), devices_(options_.devices) {
  check_all(options_);
  note_use();
}

void child::begin() {
  ends_ = spawn(options_);
  seen_.id = ends_.id;
  try {
    if (!options_.pid_directory.empty()) {
      pid_file_ =
          pid_file(options_.pid_directory, record_of_child(ends_.id, options_.arguments.front()));
    }
    exit_.emplace(ends_.id, system_.use_pidfd);
  } catch (...) {
    kill_and_reap(ends_.id);
    throw;
  }
}

std::shared_ptr<child> child::start(process_options options, process_system system) {
  auto self = std::make_shared<child>(std::move(options), std::move(system));
  const auto begun = std::make_shared<std::promise<void>>();
  self->thread_ = start_quiet_thread([self, begun] { self->live(*begun); });
  try {
    begun->get_future().get();
  } catch (...) {
    self->thread_.join();
    throw;
  }
  return self;
}

process_snapshot child::observe() const {
  expect_same_process();
  const std::lock_guard lock(mutex_);
  return seen_;
}

void child::expect_other_thread(const char* what) const {
  expect_same_process();
  const std::lock_guard lock(mutex_);
  if (thread_id_ == std::this_thread::get_id()) {
    detail::fail(status::busy,
                 "{} was called from a callback of process {}, on the thread that "
                 "it would wait for",
                 what, id());
  }
}

bool child::wait_until_ended(std::unique_lock<std::mutex>& lock, time_point deadline,
                             const std::stop_token& stop) const {
  const clock& time = *options_.clock;
  while (!seen_.ended && !stop.stop_requested() && time.now() < deadline) {
    time.wait_until(changed_, lock, deadline);
  }
  return seen_.ended.has_value();
}

std::optional<exit_status> child::wait(time_point deadline, const std::stop_token& stop) const {
  expect_other_thread("wait");
  // Made before the lock is taken: it runs at once, on this thread, when the stop came before.
  const std::stop_callback wake(stop, [this] {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  });
  std::unique_lock lock(mutex_);
  static_cast<void>(wait_until_ended(lock, deadline, stop));
  return seen_.ended;
}

bool child::may_signal() const noexcept {
  return !reaped_ && exit_->is_ours();
}

void child::ask(int signal) {
  const std::lock_guard lock(mutex_);
  // Once: many a server takes the second polite signal for an impolite one.
  if (!may_signal() || std::exchange(asked_, true)) return;
  system_.send(-id(), signal);
  system_.send(-id(), SIGCONT);
}

bool child::kill_group(const stop_options& how) {
  {
    const std::lock_guard lock(mutex_);
    if (!may_signal()) return false;
  }
  prepare_kill(id(), how, *options_.clock, options_.log);
  const std::lock_guard lock(mutex_);
  return may_signal() && system_.send(-id(), SIGKILL) == 0;
}

stop_result child::stop(const stop_options& how) {
  check(how);
  expect_other_thread("stop");
  const clock& time = *options_.clock;
  const time_point begun = time.now();
  const auto wait_for = [&](duration span) {
    std::unique_lock lock(mutex_);
    return wait_until_ended(lock, time.deadline_in(span), {});
  };
  bool killed = false;
  look_at_memory();
  if (how.grace > duration::zero()) ask(how.signal);
  if (!wait_for(how.grace)) {
    killed = kill_group(how);
    if (!wait_for(how.kill_wait)) {
      detail::fail(status::timed_out,
                   "process {} ('{}') was killed {} s ago and has not ended; its state "
                   "is '{}'; it is reaped when it ends",
                   id(), options_.arguments.front(), seconds(how.kill_wait), state_of(id()));
    }
  }
  const std::lock_guard lock(mutex_);
  const exit_status ended = *seen_.ended;
  const bool by_kill = ended.how == exit_status::kind::signalled && ended.value == SIGKILL;
  return {ended, killed && by_kill, time.now() - begun};
}

bool child::send_signal(int number) {
  check_signal(number);
  expect_same_process();
  const std::lock_guard lock(mutex_);
  return may_signal() && system_.send(-id(), number) == 0;
}

void child::finish() noexcept {
  bool own_thread = false;
  {
    const std::lock_guard lock(mutex_);
    own_thread = thread_id_ == std::this_thread::get_id();
  }
  bool ended = false;
  try {
    look_at_memory();
    kill_group(options_.stopping);
    if (!own_thread) {
      std::unique_lock lock(mutex_);
      const auto deadline = options_.clock->deadline_in(options_.stopping.kill_wait);
      ended = wait_until_ended(lock, deadline, {});
    }
  } catch (...) {
    log_warning(options_.log, "process", current_error(status::internal).what());
  }
  // The child's thread may go on, but it uses none of these.
  ends_.input.close();
  ends_.output.close();
  ends_.errors.close();
  if (ended) {
    thread_.join();
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    silenced_ = true;
  }
  thread_.detach();
  if (!own_thread) {
    log_warning(options_.log, "process", "was killed and has not ended; it is reaped when it ends");
  }
}

}  // namespace detail

std::function<void(int)> checkpoint_before_kill(const device& device,
                                                std::chrono::milliseconds timeout) {
  device.require(capability::suspend, "checkpoint_before_kill");
  return [device, timeout](int id) { device.checkpoint_process(id, timeout); };
}

release_callback mark_on_release(release_clock& releases, std::vector<std::string> device_names) {
  return [&releases, names = std::move(device_names)](time_point when) {
    if (names.empty()) releases.mark_all();
    for (const std::string& each : names) releases.mark_at(each, when);
  };
}

int exit_status::shell_code() const noexcept {
  constexpr int signal_base = 128;
  constexpr int unknown_code = 255;
  switch (how) {
    case kind::exited: return value;
    case kind::signalled: return signal_base + value;
    case kind::unknown: break;
  }
  return unknown_code;
}

std::string to_string(const exit_status& status) {
  switch (status.how) {
    case exit_status::kind::exited: return detail::text("exited with code {}", status.value);
    case exit_status::kind::signalled: {
      const char* const words = ::sigdescr_np(status.value);
      return detail::text("killed by signal {} ({}){}", status.value,
                          words == nullptr ? "unknown" : words,
                          status.core_dumped ? ", core dumped" : "");
    }
    case exit_status::kind::unknown: break;
  }
  return "ended in an unknown way";
}

process detail::process_access::start(process_options options, process_system system) {
  return process(child::start(std::move(options), std::move(system)));
}

process::process(process_options options) : state_(detail::child::start(std::move(options), {})) {}

process::process(std::shared_ptr<detail::child> state) noexcept : state_(std::move(state)) {}

process::process(process&&) noexcept = default;

process& process::operator=(process&& other) noexcept {
  process taken(std::move(other));
  std::swap(state_, taken.state_);
  return *this;
}

process::~process() {
  if (detail::leak_in_forked_child(std::move(state_))) return;  // it is not ours to kill
  if (state_) state_->finish();
}

int process::id() const noexcept {
  return state_->id();
}

process_snapshot process::observe() const {
  return state_->observe();
}

int process::take_input() noexcept {
  return state_->ends().input.release();
}

int process::take_output() noexcept {
  return state_->ends().output.release();
}

int process::take_errors() noexcept {
  return state_->ends().errors.release();
}

std::optional<exit_status> process::wait(time_point deadline, const stop_view& stop) {
  return state_->wait(deadline, stop);
}

stop_result process::stop() {
  return state_->stop(state_->stopping());
}

stop_result process::stop(const stop_options& how) {
  return state_->stop(how);
}

void process::set_devices(std::vector<device> devices) {
  state_->set_devices(std::move(devices));
}

std::vector<suspended_process> process::suspend(const suspend_options& options) {
  return state_->suspend(options);
}

void process::resume(const resume_options& options) {
  state_->resume(options);
}

bool process::send_signal(int number) {
  return state_->send_signal(number);
}

}  // namespace lull
