#include <lull/clock.hpp>

#include <algorithm>

#include "vocabulary/coarse_time.hpp"
#include "vocabulary/immortal.hpp"

namespace lull {
namespace {

// std::condition_variable::wait_until with time_point::max() overflows on the way to a timespec in
// some C libraries; a wait that ends early is only a spurious wake-up.
constexpr duration longest_wait = std::chrono::hours{24};

class system_clock final : public clock {
 public:
  [[nodiscard]] time_point now() const noexcept override {
    return std::chrono::steady_clock::now();
  }

  [[nodiscard]] time_point coarse_now() const noexcept override {
    return detail::coarse_steady_now();
  }

  void wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                  time_point deadline) const override {
    const time_point here = now();
    if (deadline <= here) return;
    changed.wait_for(lock, std::min<duration>(deadline - here, longest_wait));
  }
};

}  // namespace

time_point clock::deadline_in(duration span) const noexcept {
  const time_point here = now();
  return span > no_deadline - here ? no_deadline : here + span;
}

const clock& steady_clock() noexcept {
  static detail::immortal<system_clock> instance;
  return instance.get();
}

time_point manual_clock::now() const noexcept {
  return time_point{duration{since_epoch_.load(std::memory_order_acquire)}};
}

void manual_clock::wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                              time_point deadline) const {
  if (now() >= deadline) return;
  changed.wait_for(lock, std::chrono::milliseconds{1});
}

void manual_clock::advance(duration span) noexcept {
  since_epoch_.fetch_add(span.count(), std::memory_order_acq_rel);
}

}  // namespace lull
