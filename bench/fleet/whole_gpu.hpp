#ifndef BENCH_FLEET_WHOLE_GPU_HPP
#define BENCH_FLEET_WHOLE_GPU_HPP

/// @file
/// A node that is given to one model at a time, as a cluster does whose scheduler knows a GPU as a
/// whole only; who stays asleep on it meanwhile is up to a rule.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "fleet/machine.hpp"
#include "fleet/traffic.hpp"

namespace bench::fleet {

struct sleeper {
  std::size_t model = 0;
  lull::duration since{};  ///< asleep since
};

/// What a rule is told of a node.
struct node_view {
  const std::vector<fleet_model>& models;
  std::uint64_t host_bytes = 0;        ///< that models may hold
  const std::vector<sleeper>& asleep;  ///< the one that was put to sleep first, first
  lull::duration now{};
};

class sleeper_rule {
 public:
  virtual ~sleeper_rule() = default;
  /// What is left of the GPU for one that is awake, where those asleep hold so much.
  [[nodiscard]] virtual std::uint64_t room(std::uint64_t asleep_bytes) const = 0;
  /// What a model takes of the GPU while it is awake.
  [[nodiscard]] virtual std::uint64_t awake_bytes(const fleet_model& model) const = 0;
  /// Whether host memory is held for a model from its start to its end, or while it sleeps.
  [[nodiscard]] virtual bool holds_host_memory_awake() const = 0;
  [[nodiscard]] virtual bool can_ever_run(const fleet_model& model) const = 0;
  /// Who has to end before `wanted` starts, or wakes, beside those that are asleep.
  [[nodiscard]] virtual std::vector<std::size_t> before_start(const node_view& node,
                                                              std::size_t wanted) = 0;
  [[nodiscard]] virtual std::vector<std::size_t> before_wake(const node_view& node,
                                                             std::size_t wanted) = 0;
  /// Who has to end before `leaver` goes to sleep, which may be itself.
  [[nodiscard]] virtual std::vector<std::size_t> before_sleep(const node_view& node,
                                                              std::size_t leaver) = 0;
  /// Why it cannot, after those have ended.
  [[nodiscard]] virtual std::optional<refusal> may_start(const node_view& node,
                                                         std::size_t wanted) const = 0;
  [[nodiscard]] virtual std::optional<refusal> may_wake(const node_view& node,
                                                        std::size_t wanted) const = 0;
};

/// The double of llm-d's Fast Model Actuation: sleepers are counted.
/// @param limit its --sleeper-limit
std::unique_ptr<sleeper_rule> counted_sleepers(std::size_t limit);
/// One that knows every byte and all requests to come.
std::unique_ptr<sleeper_rule> clairvoyant(const node_load& load);

outcome run_whole_gpu(const node_load& load, sleeper_rule& rule);

}  // namespace bench::fleet

#endif  // BENCH_FLEET_WHOLE_GPU_HPP
