#include <lull/settle.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>

namespace lull {
namespace {

/// Stands for "never"; no clock shows it.
constexpr duration::rep never = duration::min().count();

void raise(std::atomic<duration::rep>& mark, time_point at) noexcept {
  const duration::rep value = at.time_since_epoch().count();
  duration::rep seen = mark.load(std::memory_order_relaxed);
  // Release: what was done before the mark is seen by whoever reads it.
  while (seen < value && !mark.compare_exchange_weak(seen, value, std::memory_order_release,
                                                     std::memory_order_relaxed)) {
  }
}

std::optional<time_point> read(const std::atomic<duration::rep>& mark) noexcept {
  const duration::rep value = mark.load(std::memory_order_acquire);
  if (value == never) return std::nullopt;
  return time_point{duration{value}};
}

}  // namespace

struct release_clock::impl {
  explicit impl(const lull::clock& time) noexcept : clock(time) {}

  const lull::clock& clock;
  std::atomic<duration::rep> anywhere{never};    // the latest mark of any kind
  std::atomic<duration::rep> everywhere{never};  // the latest that counts for all devices
  mutable std::mutex mutex;
  std::map<std::string, time_point, std::less<>> devices;
};

release_clock::release_clock(const lull::clock& time) : impl_(std::make_unique<impl>(time)) {}
release_clock::~release_clock() = default;

void release_clock::mark(std::string_view device_name) {
  mark_at(device_name, impl_->clock.now());
}

void release_clock::mark_all() noexcept {
  const time_point now = impl_->clock.now();
  raise(impl_->everywhere, now);
  raise(impl_->anywhere, now);
}

void release_clock::mark_at(std::string_view device_name, time_point at) {
  at = std::min(at, impl_->clock.now());
  {
    const std::lock_guard lock(impl_->mutex);
    const auto known = impl_->devices.find(device_name);
    if (known == impl_->devices.end()) {
      impl_->devices.emplace(device_name, at);
    } else {
      known->second = std::max(known->second, at);
    }
  }
  // Last: who sees a mark here finds it in the map.
  raise(impl_->anywhere, at);
}

std::optional<time_point> release_clock::last(std::string_view device_name) const {
  std::optional<time_point> latest = read(impl_->everywhere);
  const std::lock_guard lock(impl_->mutex);
  const auto known = impl_->devices.find(device_name);
  if (known != impl_->devices.end() && (!latest || *latest < known->second)) {
    latest = known->second;
  }
  return latest;
}

std::optional<time_point> release_clock::latest() const noexcept {
  return read(impl_->anywhere);
}

const lull::clock& release_clock::time() const noexcept {
  return impl_->clock;
}

}  // namespace lull
