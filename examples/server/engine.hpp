#ifndef EXAMPLES_SERVER_ENGINE_HPP
#define EXAMPLES_SERVER_ENGINE_HPP

#include <lull/lull.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
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
  std::filesystem::path model;
  sleep_mode mode = sleep_mode::regions;
  std::uint64_t kv_bytes = std::uint64_t{64} << 20;
  /// Of the captured graphs. An absent bound does not bound.
  lull::graph_limits graphs{
      .entries = 64, .bytes = std::uint64_t{256} << 20, .idle_time = std::chrono::minutes{1}};
  /// For tests: makes every wake take this much longer.
  std::chrono::milliseconds wake_delay{0};
  lull::log_sink log;
};

/// What is known of the model that is loaded, or was.
struct model_facts {
  std::filesystem::path path;
  std::size_t tensors = 0;
  std::uint64_t bytes = 0;
};

/// The model with all that computing with it takes, and how it sleeps and wakes.
///
/// Everything but facts() and the observers runs on the compute loop, the sleeper's transitions
/// too: so nothing here is touched by two threads, and no lock is needed.
class engine {
 public:
  /// Reads the headers of the model's files.
  /// @throws gguf::format_error, gguf::model_error, std::system_error, lull::error
  engine(lull::device device, engine_options options);

  /// Adds to the sleeper what sleeps and wakes with it. Hold a lease meanwhile.
  /// @param unloaded the model is loaded by the first wake, and not by load()
  void join(lull::sleeper& with, bool unloaded = false);

  /// Loads the model for the first time.
  /// @param stop also ends later loads, in the middle of a tensor
  /// @throws lull::error (cancelled), and as the constructor
  void load(std::stop_token stop);

  /// As graph_runner::digest(), under a lease.
  [[nodiscard]] std::uint64_t digest(std::string_view prompt) { return graphs_.digest(prompt); }

  /// @name From any thread
  /// @{
  [[nodiscard]] model_facts facts() const;
  [[nodiscard]] const lull::device& device() const noexcept { return device_; }
  [[nodiscard]] const lull::memory& memory() const noexcept { return memory_; }
  [[nodiscard]] const lull::any_graph_cache& graphs() const noexcept { return graphs_.cache(); }
  /// Gets the marks of what is released, and is waited for before anything is loaded.
  [[nodiscard]] lull::release_clock& releases() noexcept { return releases_; }
  /// @}

 private:
  void read_model();
  void unload(const lull::sleep_plan& plan, lull::transition& current);
  void load_again(const lull::sleep_plan& plan, lull::transition& current);
  void prepare(const lull::sleep_plan& plan, lull::transition& current);
  void settle(const std::stop_token& stop);
  [[nodiscard]] std::optional<std::uint64_t> free_bytes() const;

  const engine_options options_;
  const lull::device device_;
  lull::release_clock releases_;
  lull::memory memory_;
  std::optional<model> model_;
  graph_runner graphs_;
  std::stop_token stop_;
  /// Before the last sleep, and what it gave up: what is there to be waited for.
  std::optional<std::uint64_t> free_before_;
  std::uint64_t given_up_ = 0;
  mutable std::mutex mutex_;
  model_facts facts_;  ///< under the mutex
};

}  // namespace example

#endif  // EXAMPLES_SERVER_ENGINE_HPP
