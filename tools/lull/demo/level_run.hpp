#ifndef TOOLS_LULL_DEMO_LEVEL_RUN_HPP
#define TOOLS_LULL_DEMO_LEVEL_RUN_HPP

#include <lull/device.hpp>

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "observer.hpp"
#include "server_client.hpp"
#include "server_process.hpp"
#include "timeline.hpp"

namespace lull::demo {

/// What makes the server go to sleep.
enum class sleep_cause : std::uint8_t { idle, request };

/// For people: "idle time", "POST /sleep".
std::string_view to_string(sleep_cause cause) noexcept;

/// Asleep and awake again, once. Sets of facts; judge() says what they must be.
struct sleep_cycle {
  sleep_level level = sleep_level::discard;
  sleep_cause cause = sleep_cause::idle;
  std::uint64_t awake_bytes = 0;           ///< right before
  std::uint64_t asleep_bytes = 0;          ///< the most that was measured while asleep
  std::uint64_t awake_again_bytes = 0;     ///< when all clients had their answers
  seconds to_sleep{};                      ///< from the first sign of the transition to asleep
  seconds to_wake{};                       ///< from the requests that woke it to awake
  seconds first_answer{};                  ///< from the requests that woke it to the first answer
  bool answers_equal = false;              ///< all clients, all prompts
  std::uint64_t wakes_by_observing = 0;    ///< while nobody but the observer asked
  std::uint64_t wakes = 0;                 ///< counted when all clients asked at once
  std::uint64_t graph_bytes = 0;           ///< held by captured graphs, right before
  std::uint64_t graph_bytes_returned = 0;  ///< by those that the sleep destroyed

  /// By how much of `weights_bytes` memory fell.
  [[nodiscard]] double fell_by(std::uint64_t weights_bytes) const noexcept;
};

/// One server, one level: awake, asleep by itself, awake, asleep when told, awake.
struct level_result {
  sleep_level level = sleep_level::discard;
  timeline memory;
  std::vector<sleep_cycle> cycles;
  graph_counts graphs;  ///< at the end
  observations observed;
};

struct level_options {
  server_options server;
  unsigned clients = 4;
  std::function<void(const std::string& line)> progress;
};

/// @throws error io: the server misbehaves or dies, with its last words; cancelled; timed_out
level_result run_level(const level_options& options, const device& where,
                       const std::stop_token& stop);

/// What is wrong with a result, a sentence each; empty when all is as it must be.
std::vector<std::string> judge(const level_result& result, std::uint64_t weights_bytes);

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_LEVEL_RUN_HPP
