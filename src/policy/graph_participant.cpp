#include <lull/error.hpp>
#include <lull/graph_cache.hpp>
#include <lull/sleeper.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>

#include "policy/participants.hpp"
#include "policy/sleeper_impl.hpp"

namespace lull {
namespace {

/// Lets a graph cache take part. A cache that was cleared is a cold one, so there is nothing to
/// take back when a later participant fails, and nothing to do at a wake.
class graph_participant final : public participant {
 public:
  graph_participant(any_graph_cache& what, duration clear_timeout, time_point now)
      : cache_(what), clear_timeout_(clear_timeout), last_upkeep_(now) {}

  [[nodiscard]] std::string_view name() const noexcept override { return "graphs"; }

  void sleep(const sleep_plan& plan, transition& current) override {
    if (detail::only_trims(plan)) {
      current.step("trim graphs", [this] { cache_.trim(); });
    } else {
      current.step("destroy graphs", [this] { cache_.clear_within(clear_timeout_); });
    }
  }

  void wake(const sleep_plan&, transition& /*current*/) override {}

  void deepen(const sleep_plan& from, const sleep_plan& to, transition& current) override {
    if (detail::only_trims(from)) sleep(to, current);
  }

  [[nodiscard]] std::optional<time_point> next_upkeep() const noexcept override {
    // Nobody says when the limits change.
    constexpr duration longest_interval = std::chrono::minutes{1};
    // Nor when an empty cache gets its first entry, which cannot be too old before its idle time.
    const duration interval =
        std::min(longest_interval, cache_.limits().idle_time.value_or(longest_interval));
    const time_point next = last_upkeep_.load(std::memory_order_relaxed) + interval;
    return std::min(next, cache_.next_deadline().value_or(next));
  }

  void upkeep(time_point now) override {
    last_upkeep_.store(now, std::memory_order_relaxed);
    cache_.sweep(now);
  }

 private:
  any_graph_cache& cache_;
  duration clear_timeout_;
  std::atomic<time_point> last_upkeep_;
};

}  // namespace

void sleeper::manage(any_graph_cache& what, duration clear_timeout) {
  if (clear_timeout < duration::zero()) {
    throw error(status::invalid_argument, "the time to clear a graph cache must not be below 0");
  }
  add(std::make_shared<graph_participant>(what, clear_timeout, impl_->clock.now()));
}

}  // namespace lull
