#include <lull/error.hpp>
#include <lull/sleeper.hpp>

#include <memory>

namespace lull {
namespace {

/// Lets a graph cache take part. A cache that was cleared is a cold one, so there is nothing to take
/// back when a later participant fails, and nothing to do at a wake.
class graph_participant final : public participant {
 public:
  graph_participant(any_graph_cache& what, duration clear_timeout)
      : cache_(what), clear_timeout_(clear_timeout) {}

  [[nodiscard]] std::string_view name() const noexcept override { return "graphs"; }

  void sleep(const sleep_plan& /*plan*/, transition& current) override {
    current.step("destroy graphs", [this] { cache_.clear_within(clear_timeout_); });
  }

  void wake(transition& /*current*/) override {}

 private:
  any_graph_cache& cache_;
  duration clear_timeout_;
};

}  // namespace

void sleeper::manage(any_graph_cache& what, duration clear_timeout) {
  if (clear_timeout < duration::zero()) {
    throw error(status::invalid_argument, "the time to clear a graph cache must not be below 0");
  }
  add(std::make_shared<graph_participant>(what, clear_timeout));
}

}  // namespace lull
