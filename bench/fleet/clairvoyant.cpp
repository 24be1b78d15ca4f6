#include <algorithm>

#include "fleet/whole_gpu.hpp"

namespace bench::fleet {
namespace {

/// Lets go whom it will be longest without, most for its bytes (Belady's rule, by size). Not the
/// best that can be done where sizes differ, which is hard to find, but no other row knows as
/// much.
class seer final : public sleeper_rule {
 public:
  explicit seer(const node_load& load) : wanted_(load.models.size()) {
    for (const fleet_request& each : load.requests) wanted_[each.model].push_back(each.at);
  }

  [[nodiscard]] std::uint64_t room(std::uint64_t asleep_bytes) const override {
    return gpu_bytes - asleep_bytes;
  }
  [[nodiscard]] std::uint64_t awake_bytes(const fleet_model& model) const override {
    return model.awake;
  }
  [[nodiscard]] bool holds_host_memory_awake() const override { return false; }
  [[nodiscard]] bool can_ever_run(const fleet_model& model) const override {
    return model.awake <= gpu_bytes;
  }
  [[nodiscard]] std::vector<std::size_t> before_start(const node_view& node,
                                                      std::size_t wanted) override {
    std::vector<std::size_t> others;
    for (const sleeper& each : node.asleep) {
      if (each.model != wanted) others.push_back(each.model);
    }
    return least_missed(node, others, [&](const std::vector<std::size_t>& stay) {
      std::uint64_t gpu = node.models[wanted].awake;
      for (const std::size_t each : stay) gpu += node.models[each].residue;
      return gpu <= gpu_bytes;
    });
  }
  [[nodiscard]] std::vector<std::size_t> before_wake(const node_view& node,
                                                     std::size_t wanted) override {
    return before_start(node, wanted);
  }
  [[nodiscard]] std::vector<std::size_t> before_sleep(const node_view& node,
                                                      std::size_t leaver) override {
    std::vector<std::size_t> all = {leaver};
    for (const sleeper& each : node.asleep) all.push_back(each.model);
    return least_missed(node, all, [&](const std::vector<std::size_t>& stay) {
      std::uint64_t host = 0;
      for (const std::size_t each : stay) host += node.models[each].weights;
      return host <= node.host_bytes;
    });
  }
  [[nodiscard]] std::optional<refusal> may_start(const node_view&, std::size_t) const override {
    return {};
  }
  [[nodiscard]] std::optional<refusal> may_wake(const node_view&, std::size_t) const override {
    return {};
  }

 private:
  /// Of these, those that go until it is enough, told who stays.
  template <class Enough>
  std::vector<std::size_t> least_missed(const node_view& node, std::vector<std::size_t> all,
                                        const Enough& enough) const {
    const auto missed = [&](std::size_t model) {
      const auto& times = wanted_[model];
      const auto next = std::upper_bound(times.begin(), times.end(), node.now);
      const lull::duration never = std::chrono::hours(24 * 365);
      const lull::duration span = next == times.end() ? never : *next - node.now;
      return static_cast<double>(span.count()) * static_cast<double>(node.models[model].weights);
    };
    std::stable_sort(all.begin(), all.end(),
                     [&](std::size_t a, std::size_t b) { return missed(a) < missed(b); });
    std::vector<std::size_t> gone;
    while (!all.empty() && !enough(all)) {
      gone.push_back(all.back());
      all.pop_back();
    }
    return gone;
  }

  std::vector<std::vector<lull::duration>> wanted_;
};

}  // namespace

std::unique_ptr<sleeper_rule> clairvoyant(const node_load& load) {
  return std::make_unique<seer>(load);
}

}  // namespace bench::fleet
