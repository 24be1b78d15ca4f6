#include "policy/process_sleep.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <unistd.h>

#include <algorithm>

#include "core/device_access.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/immortal.hpp"
#include "vocabulary/system_memory.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

using std::chrono::milliseconds;

/// What host memory grows by beyond what was on the devices (docs/hardware-notes.md).
constexpr std::uint64_t driver_overhead_bytes = std::uint64_t{512} << 20;

own_suspension& suspension_of(const device& which) {
  return device_access::state(which)->backend->suspension();
}

}  // namespace

/// What is free on the devices, by somebody who is not suspended.
std::map<std::string, std::uint64_t> process_sleep::ask_outside(
    const sleeper_suspend_options& options) {
  if (options.free_bytes) return options.free_bytes();
  try {
    // Kept: whoever is asked at a wake should be there already.
    if (!observer_ || observer_program_ != options.observer) {
      observer_.emplace(options.observer);
      observer_program_ = options.observer;
    }
    return observer_->free_bytes();
  } catch (...) {
    observer_.reset();
    const error failure = current_error(status::internal);
    throw error(
        status::unsupported,
        text("a process that is suspended cannot ask what is free on its devices, and one that is "
             "restored where it does not fit is lost; who was to be asked instead cannot be "
             "(sleeper_suspend_options::free_bytes, observer): {}",
             failure.what()));
  }
}

namespace {

/// After an unlock that failed: whether the driver has given this process up.
bool is_lost(const device& driver) noexcept {
  try {
    return driver.suspend_state(::getpid()) == gpu_state::lost;
  } catch (...) {
    return false;
  }
}

milliseconds whole(duration timeout) {
  return std::max(std::chrono::ceil<milliseconds>(timeout), milliseconds{1});
}

}  // namespace

std::vector<device> devices_to_suspend(const std::vector<device>& used) {
  std::vector<device> all;
  for (const device& each : used) {
    if (each.type() == device_type::host) continue;
    each.require(capability::suspend, "a plan that suspends the process");
    if (!all.empty() && each.backend() != all.front().backend()) {
      fail(status::unsupported, "this plan suspends the process, which uses {} and {}",
           all.front().name(), each.name());
    }
    all.push_back(each);
  }
  if (all.empty()) {
    fail(status::unsupported,
         "this plan suspends the process, and nothing here uses a device that "
         "can");
  }
  return all;
}

process_sleep& process_sleep::shared() {
  static immortal<process_sleep> one;
  return one.get();
}

void process_sleep::join(const void* sleeper) {
  const std::lock_guard lock(mutex_);
  sleepers_.try_emplace(sleeper);
  asleep_.try_emplace(sleeper, false);
}

void process_sleep::part(const void* sleeper, const sleeper_suspend_options& options) noexcept {
  const std::lock_guard lock(mutex_);
  sleepers_.erase(sleeper);
  asleep_.erase(sleeper);
  if (!sleepers_.empty()) return;
  try {
    transition quiet(steady_clock(), {}, {});
    if (state_ == state::suspended) {
      expect_room(options);
      restore(options, quiet);
    }
    if (state_ == state::locked) unlock(quiet);
  } catch (...) {  // NOLINT(bugprone-empty-catch): it stays as it is; nobody is left to be told
  }
}

void process_sleep::note_asleep(const void* sleeper, bool asleep) noexcept {
  const std::lock_guard lock(mutex_);
  const auto known = asleep_.find(sleeper);
  if (known != asleep_.end()) known->second = asleep;
}

void process_sleep::expect_others_asleep(const void* sleeper) const {
  const std::lock_guard lock(mutex_);
  const auto awake = std::count_if(asleep_.begin(), asleep_.end(), [&](const auto& each) {
    return each.first != sleeper && !each.second;
  });
  if (awake == 0) return;
  fail(status::busy, "this process cannot be replaced: {} of its sleepers do not sleep",
       static_cast<std::int64_t>(awake));
}

void process_sleep::end_observer() {
  const std::lock_guard lock(mutex_);
  observer_.reset();
}

bool process_sleep::suspended() const {
  const std::lock_guard lock(mutex_);
  return state_ != state::running;
}

void process_sleep::check(const std::vector<device>& devices,
                          const sleeper_suspend_options& options, std::uint64_t carried_bytes) {
  const std::lock_guard lock(mutex_);
  if (state_ != state::running) {
    fail(status::busy, "this process is suspended already, or was not restored");
  }
  const auto free = ask_outside(options);
  for (const device& each : devices) {
    if (free.find(each.name()) != free.end()) continue;
    fail(status::unsupported,
         "nobody outside can say what is free on {}, so it could not be told whether this process "
         "fits there again",
         each.name());
  }
  const gpu_state now = devices.front().suspend_state(::getpid());
  if (now != gpu_state::running) {
    fail(status::busy, "this process is {} already, by another program", to_string(now));
  }
  const auto memory = read_system_memory();
  const std::uint64_t needed = carried_bytes + driver_overhead_bytes + options.host_margin_bytes;
  if (!memory || needed <= memory->available_bytes) return;
  fail(status::out_of_host_memory,
       "suspending this process takes {} of host memory: {} for what is on its devices, {} for the "
       "driver's own, and {} are to be left; {} are available: {} are missing",
       format_bytes(needed), format_bytes(carried_bytes), format_bytes(driver_overhead_bytes),
       format_bytes(options.host_margin_bytes), format_bytes(memory->available_bytes),
       format_bytes(needed - memory->available_bytes));
}

void process_sleep::sleep(const void* sleeper, const std::vector<device>& devices,
                          const sleeper_suspend_options& options, duration timeout,
                          transition& current) {
  const std::lock_guard lock(mutex_);
  sleepers_[sleeper] = devices;
  const auto awake = std::count_if(sleepers_.begin(), sleepers_.end(),
                                   [](const auto& each) { return each.second.empty(); });
  if (awake != 0) {
    current.add_problem(
        text("the process is not suspended yet: {} of its sleepers do not sleep in this way; the "
             "last of them suspends it",
             static_cast<std::int64_t>(awake)));
    return;
  }
  try {
    suspend(options, timeout, current);
  } catch (...) {
    if (state_ == state::running) {
      devices_.clear();
      sleepers_[sleeper].clear();
    }
    throw;
  }
}

void process_sleep::suspend(const sleeper_suspend_options& options, duration timeout,
                            transition& current) {
  devices_.clear();
  for (const auto& [who, used] : sleepers_) {
    for (const device& each : used) {
      if (std::find(devices_.begin(), devices_.end(), each) == devices_.end()) {
        devices_.push_back(each);
      }
    }
  }
  const device& driver = devices_.front();
  needed_.clear();
  std::uint64_t carried = 0;
  for (const device& each : devices_) {
    const auto used = each.memory().used_by_process_bytes;
    if (!used) continue;  // what becomes free says it
    needed_[each.name()] = *used;
    carried += *used;
  }
  const auto memory = read_system_memory();
  const std::uint64_t wanted = carried + driver_overhead_bytes + options.host_margin_bytes;
  if (memory && wanted > memory->available_bytes) {
    fail(status::out_of_host_memory,
         "what is still on the devices is {}, and suspending it takes {} of host memory, of which "
         "{} "
         "are available: {} are missing",
         format_bytes(carried), format_bytes(wanted), format_bytes(memory->available_bytes),
         format_bytes(wanted - memory->available_bytes));
  }
  own_suspension& questions = suspension_of(driver);
  if (!questions.close(steady_clock(), steady_clock().deadline_in(timeout))) {
    fail(status::timed_out,
         "{}: a question about its memory has not been answered, and would not be while this "
         "process "
         "is suspended",
         driver.name());
  }
  try {
    save(options, timeout, current);
  } catch (...) {
    if (state_ == state::running) questions.open();
    throw;
  }
}

/// Locked, and saved; or neither.
void process_sleep::save(const sleeper_suspend_options& options, duration timeout,
                         transition& current) {
  const device& driver = devices_.front();
  const auto before = ask_outside(options);
  current.step("lock", [&] { driver.suspend_lock(::getpid(), whole(timeout)); });
  state_ = state::locked;
  try {
    current.step("suspend", [&] {
      by_driver("saving this process", options.driver_timeout,
                [driver] { driver.suspend_save(::getpid()); });
    });
    state_ = state::suspended;
  } catch (...) {
    if (state_ == state::stuck) throw;
    const error failure = current_error(status::internal);
    try {
      driver.suspend_unlock(::getpid());
      state_ = state::running;
    } catch (...) {
      const error locked = current_error(status::internal);
      if (is_lost(driver)) {
        state_ = state::lost;
        throw error(failure.code(),
                    text("this process is lost, and can only be ended: the driver has begun to "
                         "save it and could not: {}",
                         failure.what()));
      }
      throw error(failure.code(),
                  text("{}; and this process is still locked: {}", failure.what(), locked.what()));
    }
    throw;
  }
  try {
    // Also on devices that nothing here told of, and where the platform does not say whose it is.
    for (const auto& [name, free] : ask_outside(options)) {
      const auto was = before.find(name);
      if (was == before.end() || free <= was->second || needed_.count(name) != 0) continue;
      needed_[name] = free - was->second;
    }
  } catch (...) {
    current.add_problem(text("what this process had on its devices is known in part: {}",
                             current_error(status::internal).what()));
  }
}

void process_sleep::wake(const void* sleeper, const sleeper_suspend_options& options,
                         transition& current) {
  const std::lock_guard lock(mutex_);
  if (state_ == state::stuck) see_what_came();
  if (state_ == state::suspended) {
    expect_room(options);
    restore(options, current);
  }
  if (state_ == state::lost) {
    throw error(status::backend,
                "this process is lost: saving or restoring it failed, and the driver takes no "
                "other attempt; it can only be ended");
  }
  if (state_ == state::locked) unlock(current);
  const auto known = sleepers_.find(sleeper);
  if (known != sleepers_.end()) known->second.clear();
}

void process_sleep::expect_room(const sleeper_suspend_options& options) {
  const auto free = ask_outside(options);
  for (const auto& [name, bytes] : needed_) {
    const auto on = free.find(name);
    if (on == free.end()) {
      fail(
          status::unsupported,
          "nobody outside can say what is free on {}; this process stays suspended, since one that "
          "is restored where it does not fit is lost",
          name);
    }
    const std::uint64_t wanted = bytes + options.device_margin_bytes;
    if (wanted <= on->second) continue;
    fail(status::out_of_device_memory,
         "restoring this process takes {} on {}, and {} are to be left there; {} are free: {} are "
         "missing. It stays suspended: one that is restored without the room is lost",
         format_bytes(bytes), name, format_bytes(options.device_margin_bytes),
         format_bytes(on->second), format_bytes(wanted - on->second));
  }
}

/// Has the driver do what may never return.
void process_sleep::by_driver(const char* what, duration limit, std::function<void()> work) {
  const auto done = driver_calls_.call(
      steady_clock(),
      [work = std::move(work)] {
        work();
        return true;
      },
      steady_clock().deadline_in(limit));
  if (done.outcome == call_outcome::returned) return;
  state_ = state::stuck;
  fail(status::timed_out,
       "{}: the driver has not returned after {} ms, and nobody can end that; what comes of it "
       "shows at the next wake",
       what, std::chrono::duration_cast<milliseconds>(limit).count());
}

/// After a call that was given up on: where it has got to.
/// @throws error (timed_out) when it has not returned yet
void process_sleep::see_what_came() {
  if (driver_calls_.hanging()) {
    throw error(status::timed_out,
                "the driver has still not returned from saving or restoring this process");
  }
  switch (devices_.front().suspend_state(::getpid())) {
    case gpu_state::running:
      state_ = state::running;
      suspension_of(devices_.front()).open();
      break;
    case gpu_state::locked: state_ = state::locked; break;
    case gpu_state::suspended: state_ = state::suspended; break;
    default: state_ = state::lost; break;
  }
}

void process_sleep::restore(const sleeper_suspend_options& options, transition& current) {
  state_ = state::lost;  // unless it succeeds
  try {
    const device driver = devices_.front();
    current.step("restore", [&] {
      by_driver("restoring this process", options.driver_timeout,
                [driver] { driver.suspend_restore(::getpid()); });
    });
  } catch (...) {
    if (state_ == state::stuck) throw;
    const error failure = current_error(status::internal);
    throw error(
        status::backend,
        text("this process is lost, and can only be ended: the driver takes no other attempt "
             "to restore it: {}",
             failure.what()));
  }
  state_ = state::locked;
}

void process_sleep::unlock(transition& current) {
  current.step("unlock", [&] { devices_.front().suspend_unlock(::getpid()); });
  state_ = state::running;
  suspension_of(devices_.front()).open();
  devices_.clear();
  needed_.clear();
}

}  // namespace lull::detail
