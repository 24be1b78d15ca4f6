// What ggml-cuda's map of graphs does, on lull::graph_cache: an entry comes before its graph,
// counts how often it was seen and keeps the properties of its nodes; the graph is captured at the
// second look without a change, updated in place when properties change, and instantiated anew when
// an update is not possible. What the map does not: it is bounded, shrinks when traffic stops, and
// tells what leaves.
//
// Runs anywhere: the executables are those of the host.

#include <lull/lull.hpp>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

namespace {

/// A computation as the engine sees it: its nodes' addresses, and what they compute with.
struct computation {
  std::uint64_t first_node;     // ggml's key: the address of the first node
  std::vector<int> properties;  // of the nodes: shapes, strides, addresses
};

/// What the engine keeps for a computation; the cache destroys the executable.
struct graph_entry {
  lull::host_graph* exec = nullptr;
  std::shared_ptr<std::vector<int>> arguments;  // of the nodes: what an update changes
  std::vector<int> properties;
  int calls_without_change = 0;

  [[nodiscard]] void* executable() const noexcept { return exec; }
};

class engine {
 public:
  explicit engine(const lull::device& device)
      : graphs_(lull::make_graph_driver(device), options(),
                [](const std::uint64_t& key) { std::printf("%llu left\n", print(key)); }) {}

  int compute(const computation& what) {
    const auto entry = graphs_.get_or_insert(what.first_node);
    const bool changed = std::exchange(entry->properties, what.properties) != what.properties;
    entry->calls_without_change = changed ? 0 : entry->calls_without_change + 1;
    if (entry.captured() && changed) {
      update(entry, what);
    } else if (!entry.captured() && entry->calls_without_change >= 1) {
      std::printf("%llu captured\n", print(what.first_node));
      graphs_.recapture(entry, [&] { return capture(*entry, what); });
    }
    if (!entry.captured()) return run_eagerly(what);
    result_ = 0;
    entry->exec->launch();
    return result_;
  }

  /// What ggml asks before it frees a buffer: whether any graph is there at all.
  [[nodiscard]] bool any_captured() {
    bool any = false;
    graphs_.for_each([&](const auto& entry) { any = any || entry.captured(); });
    return any;
  }
  [[nodiscard]] lull::graph_cache_stats stats() const { return graphs_.stats(); }

 private:
  using cache = lull::graph_cache<std::uint64_t, graph_entry>;

  static lull::graph_cache_options options() {
    lull::graph_cache_options result;
    result.limits.entries = 2;
    return result;
  }
  static unsigned long long print(std::uint64_t key) { return key; }

  static int run_eagerly(const computation& what) {
    int sum = 0;
    for (const int each : what.properties) sum += each;
    return sum;
  }

  /// As cudaGraphExecUpdate: the same executable, if there are as many nodes as there were.
  void update(const cache::handle& entry, const computation& what) {
    const bool in_place = entry->arguments->size() == what.properties.size();
    std::printf("%llu %s\n", print(what.first_node), in_place ? "updated" : "instantiated anew");
    graphs_.recapture(entry, [&] {
      if (!in_place) return capture(*entry, what);
      *entry->arguments = what.properties;
      return lull::captured_graph<graph_entry>{*entry, entry->exec->bytes(), std::nullopt};
    });
  }

  lull::captured_graph<graph_entry> capture(const graph_entry& present, const computation& what) {
    graph_entry made = present;
    made.arguments = std::make_shared<std::vector<int>>(what.properties);
    lull::host_graph_builder recording;
    constexpr std::uint64_t workspace_bytes = 64 << 10;
    (void)recording.workspace(workspace_bytes);
    for (std::size_t node = 0; node < what.properties.size(); ++node) {
      recording.add([this, arguments = made.arguments, node] { result_ += (*arguments)[node]; });
    }
    made.exec = recording.instantiate().release();
    const std::uint64_t bytes = made.exec->bytes();
    return {std::move(made), bytes, std::nullopt};
  }

  int result_ = 0;
  cache graphs_;
};

bool check(bool holds, const char* what) {
  if (!holds) std::printf("wrong: %s\n", what);
  return holds;
}

}  // namespace

int main() {
  engine runs(lull::registry::shared().find("HOST"));
  const computation decode{1, {1, 2, 3}};
  const computation longer{1, {4, 5, 6}};
  const computation split{1, {4, 5, 6, 7}};
  bool right = check(runs.compute(decode) == 6, "the first look runs without a graph");
  right = check(!runs.any_captured(), "nothing is captured at the first look") && right;
  right = check(runs.compute(decode) == 6, "the second look captures") && right;
  right = check(runs.any_captured(), "something is captured") && right;
  right = check(runs.compute(longer) == 15, "an update in place") && right;
  right = check(runs.stats().updated == 1 && runs.stats().destroyed == 0, "one graph") && right;
  right = check(runs.compute(split) == 22, "another executable") && right;
  right = check(runs.stats().destroyed == 1, "the old one is gone") && right;
  for (const std::uint64_t key : {std::uint64_t{2}, std::uint64_t{3}}) {
    right = check(runs.compute({key, {1}}) == 1, "other computations") && right;
  }
  right = check(!runs.any_captured() && runs.stats().entries == 2, "the first has left") && right;
  return right ? 0 : 1;
}
