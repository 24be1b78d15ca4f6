#ifndef TOOLS_LULL_DEMO_SERVER_CLIENT_HPP
#define TOOLS_LULL_DEMO_SERVER_CLIENT_HPP

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "timeline.hpp"

// A header of 8 000 lines, for one member.
namespace httplib {
class Client;
}

namespace lull::demo {

/// The value of a metric in Prometheus's text format; the first one when it comes with labels.
/// @throws error (not_found) when there is no such metric
double metric(std::string_view text, std::string_view name);

/// The sum of a metric over all its labels.
/// @throws error (not_found) when there is no such metric
double metric_sum(std::string_view text, std::string_view name);

/// What the server's cache of captured graphs has done so far, by its own count.
struct graph_counts {
  std::uint64_t captures = 0;
  std::uint64_t hits = 0;
  std::uint64_t evictions = 0;
  std::uint64_t held_bytes = 0;  ///< now
  std::uint64_t returned_bytes = 0;
};

/// A model that was put to sleep so that another has room.
struct displaced_model {
  std::string model;
  std::string level;
  std::uint64_t freed_bytes = 0;
  std::string why;
};

/// A server's models at one moment.
struct models_seen {
  std::vector<std::string> loaded;
  std::uint64_t held_bytes = 0;            ///< by all of them
  std::uint64_t limit_bytes = 0;           ///< what they may hold together
  std::vector<displaced_model> displaced;  ///< so far, the first first
};

/// Talks HTTP to the example server. One object per thread.
class server_client {
 public:
  /// @param patience how long it waits for an answer
  server_client(int port, std::chrono::seconds patience);
  ~server_client();

  /// The text that a prompt leads to.
  /// @param model empty: the server's first
  [[nodiscard]] std::string complete(const std::string& prompt, int tokens,
                                     const std::string& model = {});
  /// Tells it to sleep; returns when it does.
  void sleep();
  /// How often it woke so far, by its own count.
  [[nodiscard]] std::uint64_t wakes();
  /// How long its last sleep or wake took, by its own clock.
  [[nodiscard]] seconds last_transition();

  [[nodiscard]] graph_counts graphs();

  /// What it says about itself; these never wake it.
  void check_health();
  [[nodiscard]] models_seen models();
  [[nodiscard]] phase_kind state();
  [[nodiscard]] std::string metrics();

 private:
  std::unique_ptr<httplib::Client> http_;
};

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_SERVER_CLIENT_HPP
