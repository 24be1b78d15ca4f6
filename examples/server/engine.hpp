#ifndef EXAMPLES_SERVER_ENGINE_HPP
#define EXAMPLES_SERVER_ENGINE_HPP

#include <lull/lull.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string_view>

#include "stand_in/graph_runner.hpp"
#include "stand_in/model.hpp"

namespace example {

/// What a sleep takes away.
enum class sleep_mode : std::uint8_t {
  regions,  ///< the memory of the model's regions; the model stays, and its addresses with it
  reload,  ///< the model: it is unloaded, and loaded from its files at the wake, as engines do that
           ///< have no regions. Another file in its place is then another model.
};

struct engine_options {
  sleep_mode mode = sleep_mode::regions;
  std::uint64_t kv_bytes = std::uint64_t{64} << 20;
  /// Of the captured graphs. An absent bound does not bound.
  lull::graph_limits graphs{
      .entries = 64, .bytes = std::uint64_t{256} << 20, .idle_time = std::chrono::minutes{1}};
  /// For tests: makes every wake but the first take this much longer.
  std::chrono::milliseconds wake_delay{0};
  lull::log_sink log;
};

/// What the models of a server share.
struct shared_resources {
  lull::device device;
  /// Gets the marks of what any of them releases, which is waited for before anything is loaded.
  lull::release_clock& releases;
  lull::host_arena arena;  ///< where what is offloaded goes
};

/// What is known of the model that is loaded, or was.
struct model_facts {
  std::filesystem::path path;
  std::size_t tensors = 0;
  std::uint64_t bytes = 0;
};

/// A model with all that computing with it takes, and how it sleeps and wakes. It begins asleep:
/// the first wake loads it.
///
/// Everything but what says otherwise runs on the compute loop, the sleeper's transitions too: so
/// nothing here is touched by two threads, and no lock is needed.
class engine {
 public:
  /// Reads the headers of the model's files.
  /// @throws gguf::format_error, gguf::model_error, std::system_error, lull::error
  /// @param touches_nothing before the first wake: reserving addresses makes the device's context
  engine(const std::filesystem::path& file, shared_resources with, engine_options options,
         bool touches_nothing = false);

  /// Adds to the sleeper what sleeps and wakes with it. Hold a lease meanwhile.
  void join(lull::sleeper& with);

  /// As graph_runner::digest(), under a lease.
  [[nodiscard]] std::uint64_t digest(std::string_view prompt) { return graphs_.digest(prompt); }

  /// @name From any thread
  /// @{
  [[nodiscard]] model_facts facts() const;
  /// What the model will hold of the device: the tensors, by the files' headers, and the KV cache.
  [[nodiscard]] std::uint64_t estimated_bytes() const { return facts().bytes + options_.kv_bytes; }
  /// What it holds now.
  [[nodiscard]] std::uint64_t held_bytes() const;
  [[nodiscard]] const lull::memory& memory() const noexcept { return memory_; }
  [[nodiscard]] const lull::any_graph_cache& graphs() const noexcept { return graphs_.cache(); }
  /// @}

 private:
  void read_model();
  void prepare(const lull::sleep_plan& plan, lull::transition& current);
  void unload(const lull::sleep_plan& plan, lull::transition& current);
  void load_again(lull::transition& current);
  void delay(lull::transition& current);
  [[nodiscard]] std::shared_ptr<lull::participant> reloading();
  [[nodiscard]] std::shared_ptr<lull::participant> declaring();

  const std::filesystem::path file_;
  const shared_resources with_;
  const engine_options options_;
  lull::memory memory_;
  std::optional<model> model_;
  graph_runner graphs_;
  const bool touches_nothing_;
  bool woken_before_ = false;
  mutable std::mutex mutex_;
  model_facts facts_;  ///< under the mutex
};

}  // namespace example

#endif  // EXAMPLES_SERVER_ENGINE_HPP
