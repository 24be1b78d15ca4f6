#include "process/suspend_look.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <numeric>
#include <thread>

#include "process/own_file.hpp"
#include "process/proc_stat.hpp"
#include "vocabulary/call_back.hpp"
#include "vocabulary/immortal.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

/// The first pid namespace, whose inode number the kernel fixes (PROC_PID_INIT_INO in
/// include/linux/proc_ns.h): drivers list the ids of that one.
constexpr std::string_view first_pid_namespace = "pid:[4026531836]";

std::mutex& turn_in_this_process() {
  static immortal<std::mutex> mutex;
  return mutex.get();
}

std::uint64_t known_free(const device& on) {
  const auto free = on.memory().free_bytes;
  if (free) return *free;
  fail(status::unsupported,
       "{}: it cannot be told how much is free, so it could not be told either whether a suspended "
       "process fits there again, and one that does not is lost",
       on.name());
}

}  // namespace

suspend_devices::suspend_devices(const std::vector<device>& all) {
  const auto can = [](const device& each) { return each.supports(capability::suspend); };
  const auto first = std::find_if(all.begin(), all.end(), can);
  if (first == all.end()) {
    fail(status::unsupported,
         "none of {} devices can suspend processes (CUDA can from driver 570 on, but not where a "
         "GPU is cut in slices)",
         all.size());
  }
  for (const device& each : all) {
    if (can(each) && each.backend() == first->backend()) devices_.push_back(each);
  }
}

std::vector<std::uint64_t> suspend_devices::free_bytes() const {
  std::vector<std::uint64_t> free;
  free.reserve(devices_.size());
  for (const device& each : devices_) free.push_back(known_free(each));
  return free;
}

std::uint64_t suspend_devices::used_bytes() const {
  std::uint64_t used = 0;
  for (const device& each : devices_) {
    const std::uint64_t free = known_free(each);
    const std::uint64_t total = each.memory().total_bytes.value_or(free);
    used += total > free ? total - free : 0;
  }
  return used;
}

std::vector<suspended_part> suspend_devices::listed(int id) const {
  std::vector<suspended_part> parts;
  if (read_pid_namespace() != first_pid_namespace) return parts;
  for (const device& on : devices_) {
    if (!on.supports(capability::processes)) continue;
    try {
      for (const device_process& each : on.processes()) {
        if (each.id == id) parts.push_back({on.name(), each.used_bytes});
      }
    } catch (const error&) {  // not known: what becomes free says it
    }
  }
  return parts;
}

suspend_turn::suspend_turn(const std::filesystem::path& directory, time_point deadline) {
  if (!directory.empty()) {
    make_own_directory(directory);
    directory_ = unique_fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory_) fail_call(status::io, "open", errno, text("'{}'", directory.string()));
  }
  const auto wait_for = [deadline](const auto& taken) {
    while (!taken()) {
      if (steady_clock().now() >= deadline) {
        fail(status::timed_out, "another process is being suspended or resumed for all this time");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
  };
  wait_for([] { return turn_in_this_process().try_lock(); });
  try {
    wait_for([&] {
      if (!directory_ || ::flock(directory_.get(), LOCK_EX | LOCK_NB) == 0) return true;
      if (errno == EWOULDBLOCK || errno == EINTR) return false;
      fail_call(status::io, "flock", errno, text("'{}'", directory.string()));
    });
  } catch (...) {
    turn_in_this_process().unlock();
    throw;
  }
}

suspend_turn::~suspend_turn() {
  turn_in_this_process().unlock();
}

error in_other_words(const error& failure, const std::string& words) {
  if (failure.vendor() == nullptr) return {failure.code(), words};
  return {failure.code(), words, *failure.vendor()};
}

time_point suspend_deadline(duration timeout) {
  if (timeout < std::chrono::milliseconds{1} || timeout > std::chrono::hours{24}) {
    fail(status::invalid_argument, "a timeout of {} ns; 1 ms to a day",
         static_cast<std::int64_t>(timeout.count()));
  }
  return steady_clock().deadline_in(timeout);
}

void take_step(suspend_progress::step step, int id, std::optional<std::uint64_t> bytes,
               const std::function<void(const suspend_progress&)>& on_progress, const log_sink& log,
               const std::function<void()>& work) {
  const time_point begun = steady_clock().now();
  work();
  call_back(log, "on_progress", on_progress,
            suspend_progress{step, id, bytes, steady_clock().now() - begun});
}

}  // namespace lull::detail

namespace lull {

std::string_view to_string(suspend_progress::step step) noexcept {
  switch (step) {
    case suspend_progress::step::locked: return "locked";
    case suspend_progress::step::saved: return "suspended";
    case suspend_progress::step::restored: return "restored";
    case suspend_progress::step::unlocked: return "unlocked";
  }
  return "?";
}

std::optional<std::uint64_t> suspended_process::device_bytes() const noexcept {
  if (parts.empty()) return std::nullopt;
  std::uint64_t sum = 0;
  for (const suspended_part& each : parts) {
    if (!each.bytes) return std::nullopt;
    sum += *each.bytes;
  }
  return sum;
}

}  // namespace lull
