// What a child holds on devices before it is stopped, and the marks that its end leaves.

#include <algorithm>

#include "process/child.hpp"
#include "process/proc_stat.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/fork.hpp"

namespace lull::detail {
namespace {

/// The look delays the stop, so a platform that hangs must not delay it for long.
constexpr std::chrono::milliseconds look_limit{250};

/// What these processes hold on a device, by its own list. The list may be of another pid
/// namespace, where their ids mean nothing, or others: then the sum is 0, which is not known, or
/// wrong, which costs settle() the second that it waits without any knowledge.
release_gain held_by(const std::vector<int>& ids, const device& on) {
  if (!on.supports(capability::processes)) return {};
  release_gain gain;
  gain.free_before_bytes = on.memory(look_limit).free_bytes;
  for (const device_process& each : on.processes(look_limit)) {
    if (std::find(ids.begin(), ids.end(), each.id) == ids.end()) continue;
    if (!each.used_bytes) return {};
    gain.bytes += *each.used_bytes;
  }
  return gain;
}

}  // namespace

void child::set_devices(std::vector<device> devices) {
  expect_same_process();
  const std::lock_guard lock(mutex_);
  devices_ = std::move(devices);
}

/// Once, before the first attempt to stop it: a group that is ending already holds less.
void child::look_at_memory() noexcept {
  if (options_.releases == nullptr) return;
  try {
    std::vector<device> devices;
    {
      const std::lock_guard lock(mutex_);
      if (seen_.ended || std::exchange(looked_, true)) return;
      devices = devices_;
    }
    if (devices.empty()) return;
    std::vector<int> ids;
    for (const proc_stat& each : living_members(id())) ids.push_back(each.id);
    for (const device& each : devices) {
      const release_gain gain = held_by(ids, each);
      const std::lock_guard lock(mutex_);
      gains_[each.name()] = gain;
    }
  } catch (...) {
    const error failure = current_error(status::internal, "process: what it holds is not known");
    options_.log.write(log_level::warning, failure.what());
  }
}

void child::mark_release(time_point when) noexcept {
  if (options_.releases == nullptr) return;
  try {
    const std::lock_guard lock(mutex_);
    if (devices_.empty()) options_.releases->mark_all();
    for (const device& each : devices_) {
      const auto gain = gains_.find(each.name());
      options_.releases->mark_at(each.name(), when,
                                 gain == gains_.end() ? release_gain{} : gain->second);
    }
  } catch (...) {
    options_.releases->mark_all();  // needs no memory
  }
}

}  // namespace lull::detail
