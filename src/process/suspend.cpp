// Processes off their GPUs.

#include <lull/bytes.hpp>
#include <lull/error.hpp>
#include <lull/suspend.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "process/child.hpp"
#include "process/own_file.hpp"
#include "process/proc_stat.hpp"
#include "process/suspend_look.hpp"
#include "process/suspend_record.hpp"
#include "vocabulary/call_back.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/system_memory.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace detail {
namespace {

using std::chrono::milliseconds;
using step = suspend_progress::step;

/// What the host memory of a process grew by beyond what it had on the device: 519 MB for 64 MB of
/// it, half a GB for 16 GiB (docs/hardware-notes.md).
constexpr std::uint64_t host_overhead_bytes = std::uint64_t{512} << 20;

/// One process on its way.
struct member {
  suspended_process what;
  bool locked = false;
  bool saved = false;
  bool lost = false;
  std::optional<std::uint64_t> host_before_bytes = {};

  [[nodiscard]] int id() const noexcept { return what.id; }
  [[nodiscard]] bool gone() const { return !is_alive({what.id, what.start_ticks}); }
};

/// Those who may trace it may suspend it; the driver says no more than that it cannot reach it.
void expect_right_to_trace(const proc_stat& which) {
  const std::string memory = text("/proc/{}/mem", which.id);
  const unique_fd file(::open(memory.c_str(), O_RDONLY | O_CLOEXEC));
  if (file || (errno != EACCES && errno != EPERM)) return;
  const auto status = read_proc_status(which.id);
  const std::uint32_t owner = status ? status->user : 0;
  fail(status::io,
       "process {} ('{}') is of user {} and this program runs as user {}: to suspend it takes the "
       "right to trace it, which root has (CAP_SYS_PTRACE), and its own user where "
       "kernel.yama.ptrace_scope is 0 or the process is a child",
       which.id, status ? status->name : "?", owner, ::geteuid());
}

class suspension {
 public:
  suspension(const std::vector<device>& devices, int id, const suspend_options& options)
      : devices_(devices),
        options_(options),
        top_(id),
        deadline_(suspend_deadline(options.timeout)),
        turn_(options.directory, deadline_) {}

  std::vector<suspended_process> run() {
    take_in(find());
    expect_some();
    expect_host_memory();
    try {
      lock_all();
      save_all();
    } catch (...) {
      const error failure = current_error(status::internal);
      const std::string trouble = take_back();
      if (trouble.empty()) throw error(failure);
      throw in_other_words(failure, text("{}; and {}", failure.what(), trouble));
    }
    std::vector<suspended_process> done;
    for (member& each : members_) done.push_back(std::move(each.what));
    return done;
  }

 private:
  /// Those of the tree that are not among the members and use a GPU. What is wrong with any of
  /// them is known before one is touched, and before one is locked: with peers a question to one
  /// process may wait for another that is locked (NVIDIA/cuda-checkpoint issue 30).
  [[nodiscard]] std::vector<proc_stat> find() const {
    const std::vector<proc_stat> tree = living_tree(top_, options_.tree);
    if (tree.empty() && members_.empty()) {
      fail(status::not_found, "there is no process {}", top_);
    }
    std::vector<proc_stat> found;
    for (const proc_stat& each : tree) {
      if (each.id == ::getpid()) {
        fail(status::invalid_argument,
             "process {}: a process cannot suspend itself in this way, nor what it runs under; its "
             "sleeper can (level 'suspend')",
             each.id);
      }
      const bool known = std::any_of(members_.begin(), members_.end(),
                                     [&](const member& one) { return one.id() == each.id; });
      if (!known && is_to_be_suspended(each)) found.push_back(each);
    }
    return found;
  }

  [[nodiscard]] bool is_to_be_suspended(const proc_stat& which) const {
    if (which.id == top_) expect_right_to_trace(which);
    gpu_state state = gpu_state::running;
    try {
      state = devices_.driver().suspend_state(which.id);
    } catch (const error& failure) {
      if (options_.tree && failure.code() == status::not_found) return false;
      expect_right_to_trace(which);
      throw;
    }
    if (state == gpu_state::running) {
      expect_right_to_trace(which);
      return true;
    }
    const char* const why =
        state == gpu_state::suspended ? "is suspended already"
        : state == gpu_state::locked
            ? "is locked, by another program or by one that was ended in the middle; resuming it "
              "unlocks it"
            : "was lost: an earlier attempt to save or restore it failed";
    fail(status::busy, "process {} {}", which.id, why);
  }

  void take_in(const std::vector<proc_stat>& found) {
    for (const proc_stat& each : found) {
      const auto status = read_proc_status(each.id);
      if (!status) continue;  // it has ended
      member& one = members_.emplace_back();
      one.what.id = each.id;
      one.what.start_ticks = each.start_ticks;
      one.what.command = one_line(status->name);
      one.what.by_user = ::geteuid();
      one.what.by_process = ::getpid();
      one.what.parts = devices_.listed(each.id);
      one.host_before_bytes = status->host_bytes;
    }
  }

  void expect_some() const {
    if (!members_.empty()) return;
    throw error(status::not_found,
                options_.tree ? text("neither process {} nor any that it started uses a GPU", top_)
                              : text("process {} ended while it was being suspended", top_));
  }

  /// What the driver will carry, at most.
  [[nodiscard]] std::uint64_t carried_bytes() const {
    if (options_.device_bytes) return *options_.device_bytes;
    std::uint64_t sum = 0;
    for (const member& each : members_) {
      const auto bytes = each.what.device_bytes();
      if (!bytes) return devices_.used_bytes();
      sum += *bytes;
    }
    return sum;
  }

  void expect_host_memory() const {
    static_cast<void>(devices_.free_bytes());  // without which no resume is safe
    const std::uint64_t carried = carried_bytes();
    const std::uint64_t overhead = host_overhead_bytes * members_.size();
    const auto memory = read_system_memory("/", std::to_string(members_.front().id()));
    if (!memory) return;
    const std::uint64_t needed = carried + overhead + options_.host_margin_bytes;
    if (needed <= memory->available_bytes) return;
    fail(
        status::out_of_host_memory,
        "suspending {} takes {} of host memory: {} for what is on the devices, {} for the driver's "
        "own, and {} are to be left; {} are available: {} are missing",
        members_.size() == 1 ? text("process {}", members_.front().id())
                             : text("{} processes", members_.size()),
        format_bytes(needed), format_bytes(carried), format_bytes(overhead),
        format_bytes(options_.host_margin_bytes), format_bytes(memory->available_bytes),
        format_bytes(needed - memory->available_bytes));
  }

  /// Does something with each member. One that has ended is none any more.
  template <class Work>
  void with_each(Work work) {
    for (std::size_t i = 0; i < members_.size();) {
      try {
        work(members_[i]);
        ++i;
      } catch (const error&) {
        if (!members_[i].gone()) throw;
        forget(members_[i]);
        members_.erase(members_.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
    if (members_.empty()) {
      fail(status::not_found, "process {} ended while it was being suspended", top_);
    }
  }

  /// Those that come while it goes on are locked too: a locked process starts no others.
  void lock_all() {
    do {
      with_each([this](member& each) {
        if (!each.locked) lock(each);
      });
      if (!options_.tree) return;
      std::vector<proc_stat> more = find();
      if (more.empty()) return;
      take_in(more);
    } while (true);
  }

  void lock(member& which) {
    if (options_.stop.stop_requested()) {
      fail(status::cancelled, "suspending process {} was cancelled", top_);
    }
    const auto left = std::chrono::floor<milliseconds>(deadline_ - steady_clock().now());
    if (left < milliseconds{1}) {
      fail(status::timed_out, "process {} could not be locked in time", which.id());
    }
    take_step(step::locked, which.id(), std::nullopt, options_.on_progress, options_.log, [&] {
      devices_.driver().suspend_lock(which.id(), left);
      which.locked = true;
    });
  }

  void save_all() {
    with_each([this](member& each) { save(each); });
  }

  void save(member& which) {
    which.what.since = std::chrono::system_clock::now();
    // Before, too: a program that is killed in the middle leaves it suspended.
    write_down(which);
    const std::vector<std::uint64_t> before = devices_.free_bytes();
    const time_point begun = steady_clock().now();
    try {
      devices_.driver().suspend_save(which.id());
    } catch (...) {
      const error failure = current_error(status::internal);
      which.lost = is_lost(which);
      throw error(failure);
    }
    which.saved = true;
    const duration elapsed = steady_clock().now() - begun;
    measure(which, before);
    write_down(which);
    call_back(options_.log, "on_progress", options_.on_progress,
              suspend_progress{step::saved, which.id(), which.what.device_bytes(), elapsed});
  }

  /// Whether the driver has given it up.
  [[nodiscard]] bool is_lost(const member& which) const noexcept {
    try {
      return devices_.driver().suspend_state(which.id()) == gpu_state::lost;
    } catch (...) {
      return false;
    }
  }

  /// Where the driver listed nothing of it: what became free.
  void measure(member& which, const std::vector<std::uint64_t>& before) {
    if (!which.what.device_bytes()) {
      const std::vector<std::uint64_t> after = devices_.free_bytes();
      which.what.parts.clear();
      for (std::size_t i = 0; i < after.size(); ++i) {
        if (after[i] <= before[i]) continue;
        which.what.parts.push_back({devices_.all()[i].name(), after[i] - before[i]});
      }
    }
    const auto status = read_proc_status(which.id());
    if (status && status->host_bytes && which.host_before_bytes) {
      which.what.host_bytes = *status->host_bytes > *which.host_before_bytes
                                  ? *status->host_bytes - *which.host_before_bytes
                                  : 0;
    }
  }

  void write_down(member& which) const {
    which.what.recorded = true;
    if (options_.directory.empty()) return;
    which.what.file = write_own_file(options_.directory, suspend_file_name(which.what),
                                     to_text({which.what, read_boot_id(), read_pid_namespace()}));
  }

  static void forget(const member& which) {
    if (!which.what.file.empty()) ::unlink(which.what.file.c_str());
  }

  /// Has all members run again, the last one first.
  /// @return what could not be taken back; empty when all could
  std::string take_back() noexcept {
    std::string trouble;
    for (auto each = members_.rbegin(); each != members_.rend(); ++each) {
      try {
        if (each->saved) restore(*each);
        if (each->locked) devices_.driver().suspend_unlock(each->id());
        forget(*each);
      } catch (...) {
        const error failure = current_error(status::internal);
        if (each->gone()) continue;
        trouble += text("{}process {} is {}: {}", trouble.empty() ? "" : "; ", each->id(),
                        each->lost    ? "lost"
                        : each->saved ? "still suspended"
                                      : "still locked",
                        failure.what());
      }
    }
    return trouble;
  }

  void restore(member& which) {
    expect_room(devices_, which.what, {});
    which.lost = true;
    devices_.driver().suspend_restore(which.id());
    which.lost = which.saved = false;
  }

  const suspend_devices devices_;
  const suspend_options& options_;
  const int top_;
  const time_point deadline_;
  const suspend_turn turn_;
  std::vector<member> members_;
};

}  // namespace

std::vector<suspended_process> child::suspend(const suspend_options& options) {
  expect_same_process();
  const std::lock_guard one_at_a_time(suspending_);
  if (!suspended_.empty()) fail(status::busy, "process {} is suspended already", id());
  std::vector<device> devices;
  {
    const std::lock_guard lock(mutex_);
    if (seen_.ended) fail(status::not_found, "process {} has ended", id());
    devices = devices_;
  }
  suspended_ = suspend_process(devices, id(), options);
  return suspended_;
}

void child::resume(const resume_options& options) {
  expect_same_process();
  const std::lock_guard one_at_a_time(suspending_);
  if (suspended_.empty()) fail(status::not_found, "process {} is not suspended", id());
  std::vector<device> devices;
  {
    const std::lock_guard lock(mutex_);
    devices = devices_;
  }
  try {
    resume_processes(devices, suspended_, options);
  } catch (const error& failure) {
    if (failure.code() == status::not_found) suspended_.clear();
    throw;
  }
  suspended_.clear();
}

}  // namespace detail

std::vector<suspended_process> suspend_process(const std::vector<device>& devices, int id,
                                               const suspend_options& options) {
  detail::expect_same_process();
  if (id <= 1) detail::fail(status::invalid_argument, "process {}: ids are above 1", id);
  return detail::suspension(devices, id, options).run();
}

}  // namespace lull
