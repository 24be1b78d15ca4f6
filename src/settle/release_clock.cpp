#include <lull/settle.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>

#include "settle/judge.hpp"
#include "vocabulary/fork.hpp"

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

/// Whether an earlier release may still be under way at a later one. After that long settle() takes
/// what has not come for lost.
bool overlap(time_point earlier, time_point later) noexcept {
  return later - earlier <= detail::settle_rule::dwell_unmoved;
}

/// Two releases on one device as one.
release_mark combined(const release_mark& earlier, const release_mark& later) noexcept {
  if (!overlap(earlier.at, later.at)) return later;
  if (!earlier.gain.known() || !later.gain.known()) return {later.at, {}};
  const std::uint64_t before = *earlier.gain.free_before_bytes;
  const std::uint64_t between = *later.gain.free_before_bytes;
  const bool is_back =
      between >= before &&
      between - before >= earlier.gain.bytes - detail::gain_slack(earlier.gain.bytes);
  if (is_back) return later;
  const std::uint64_t sum = earlier.gain.bytes + later.gain.bytes;
  if (sum < earlier.gain.bytes) return {later.at, {}};
  return {later.at, {sum, std::min(before, between)}};
}

}  // namespace

struct release_clock::impl {
  explicit impl(const lull::clock& time) noexcept : clock(time) {}

  const lull::clock& clock;
  std::atomic<duration::rep> anywhere{never};    // the latest mark of any kind
  std::atomic<duration::rep> everywhere{never};  // the latest that counts for all devices
  mutable std::mutex mutex;
  std::map<std::string, release_mark, std::less<>> devices;
};

release_clock::release_clock(const lull::clock& time) : impl_(std::make_unique<impl>(time)) {
  detail::note_use();
}
release_clock::~release_clock() = default;

void release_clock::mark(std::string_view device_name, const release_gain& gain) {
  mark_at(device_name, impl_->clock.now(), gain);
}

void release_clock::mark_all() noexcept {
  const time_point now = impl_->clock.now();
  raise(impl_->everywhere, now);
  raise(impl_->anywhere, now);
}

void release_clock::mark_at(std::string_view device_name, time_point at, const release_gain& gain) {
  detail::expect_same_process();
  const release_mark made{std::min(at, impl_->clock.now()), gain};
  {
    const std::lock_guard lock(impl_->mutex);
    const auto known = impl_->devices.find(device_name);
    if (known == impl_->devices.end()) {
      impl_->devices.emplace(device_name, made);
    } else {
      release_mark& last = known->second;
      last = made.at < last.at ? combined(made, last) : combined(last, made);
    }
  }
  // Last: who sees a mark here finds it in the map.
  raise(impl_->anywhere, made.at);
}

std::optional<release_mark> release_clock::last_release(std::string_view device_name) const {
  detail::expect_same_process();
  const std::optional<time_point> everywhere = read(impl_->everywhere);
  const std::lock_guard lock(impl_->mutex);
  const auto known = impl_->devices.find(device_name);
  if (known == impl_->devices.end()) {
    return everywhere ? std::optional(release_mark{*everywhere}) : std::nullopt;
  }
  const release_mark& last = known->second;
  if (!everywhere) return last;
  const release_mark unknown{*everywhere};
  return unknown.at < last.at ? combined(unknown, last) : combined(last, unknown);
}

std::optional<time_point> release_clock::last(std::string_view device_name) const {
  const auto found = last_release(device_name);
  return found ? std::optional(found->at) : std::nullopt;
}

std::optional<time_point> release_clock::latest() const noexcept {
  return read(impl_->anywhere);
}

const lull::clock& release_clock::time() const noexcept {
  return impl_->clock;
}

}  // namespace lull
