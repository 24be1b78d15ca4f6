// The double of the controller of llm-d's Fast Model Actuation, after
//
//   github.com/llm-d-incubation/llm-d-fast-model-actuation,
//   commit 553c7b73d70c4bacadc988f35bead7a233eea242 (2026-08-19), from which no code is taken:
//   pkg/controller/dual-pods/inference-server.go: enforceSleeperBudget, wakeUp,
//     accelMemoryIsLowEnough, ensureUnbound;  cmd/dual-pods-controller/main.go: the flags;
//   docs/dual-pods.md: GPU and main memory planning.
//
// What it does, for providers of their own pods (not of a launcher, which has no sleeper limit):
//
// - Before a provider is *created*, not before one is woken, sleepers on the GPU beyond
//   --sleeper-limit are deleted (so that limit + 1 sleep once that one sleeps too). The victims are
//   those that the controller itself has not written to for longest, which it last did when they
//   were put to sleep; ties by name. "This is really simple logic. Just pick some without
//   preference", says the source, with a "TODO: better". How much they hold is not asked.
// - Before a provider is *woken*, all that is used of the GPU, which is what sleepers hold, the one
//   to be woken among them, must not be more than sleeper-limit x 4096 MiB. If it is, that is an
//   error, which is tried again (at most 20 s later) for as long as the requester exists. Nobody is
//   put away for it, so on a GPU that has nobody else it never becomes less.
// - One that is awake may use 0.9 of the GPU less what sleepers are reckoned at, which its owner
//   has to write into --gpu-memory-utilization.
// - Its pod requests the host memory for its weights for as long as it exists; the kubelet admits
//   none beyond what the node has.
//
// In the controller's favour: a model always comes back to the GPU where it sleeps (by itself the
// scheduler knows nothing of sleepers), Kubernetes takes no time, a model stays awake until another
// needs the GPU, and levels of sleep cost what they cost us.

#include <algorithm>

#include "fleet/whole_gpu.hpp"

namespace bench::fleet {
namespace {

class counted final : public sleeper_rule {
 public:
  explicit counted(std::size_t limit) : limit_(limit) {}

  [[nodiscard]] std::uint64_t room(std::uint64_t) const override { return usable(); }
  [[nodiscard]] std::uint64_t awake_bytes(const fleet_model&) const override { return usable(); }
  [[nodiscard]] bool holds_host_memory_awake() const override { return true; }
  [[nodiscard]] bool can_ever_run(const fleet_model& model) const override {
    return model.least <= usable();
  }
  [[nodiscard]] std::vector<std::size_t> before_start(const node_view& node, std::size_t) override {
    std::vector<std::size_t> gone;
    for (std::size_t at = 0; at + limit_ < node.asleep.size(); ++at) {
      gone.push_back(node.asleep[at].model);
    }
    return gone;
  }
  [[nodiscard]] std::vector<std::size_t> before_wake(const node_view&, std::size_t) override {
    return {};
  }
  [[nodiscard]] std::vector<std::size_t> before_sleep(const node_view&, std::size_t) override {
    return {};
  }
  [[nodiscard]] std::optional<refusal> may_start(const node_view& node,
                                                 std::size_t wanted) const override {
    std::uint64_t host = node.models[wanted].weights;
    for (const sleeper& each : node.asleep) host += node.models[each.model].weights;
    if (host > node.host_bytes) return refusal::host_memory;
    // The engine refuses to start where less is free than it may use.
    if (used(node) + usable() > gpu_bytes) return refusal::memory;
    return {};
  }
  [[nodiscard]] std::optional<refusal> may_wake(const node_view& node, std::size_t) const override {
    if (used(node) > reckoned()) return refusal::memory;
    return {};
  }

 private:
  [[nodiscard]] std::uint64_t reckoned() const { return limit_ * (std::uint64_t{4096} << 20U); }
  [[nodiscard]] std::uint64_t usable() const {
    const std::uint64_t most = gpu_bytes / 10 * 9;
    return most > reckoned() ? most - reckoned() : 0;
  }
  static std::uint64_t used(const node_view& node) {
    std::uint64_t sum = 0;
    for (const sleeper& each : node.asleep) sum += node.models[each.model].residue;
    return sum;
  }

  std::size_t limit_;
};

}  // namespace

std::unique_ptr<sleeper_rule> counted_sleepers(std::size_t limit) {
  return std::make_unique<counted>(limit);
}

}  // namespace bench::fleet
