#ifndef BENCH_FLEET_TRAFFIC_HPP
#define BENCH_FLEET_TRAFFIC_HPP

/// @file
/// Models, where they are placed, and who asks for them when: the same for all contestants, from a
/// seed, the same with every standard library.

#include <lull/clock.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bench::fleet {

/// What an H200 has by its management library. A node is one of them, and the host memory that goes
/// with it.
constexpr std::uint64_t gpu_bytes = std::uint64_t{143771} << 20U;
/// What the system itself needs of host memory.
constexpr std::uint64_t host_margin_bytes = std::uint64_t{8} << 30U;

struct fleet_model {
  double parameters = 0;       ///< billions
  double rate = 0;             ///< requests a second, on average
  std::uint64_t weights = 0;   ///< bytes
  std::uint64_t awake = 0;     ///< what it really holds on the GPU when awake
  std::uint64_t least = 0;     ///< with which it could run at all, with hardly any cache
  std::uint64_t expected = 0;  ///< what its owner said it would
  std::uint64_t residue = 0;   ///< what it really leaves on the GPU asleep
};

/// How long a model takes to come back with its weights in host memory, and from nothing.
lull::duration wake_time(const fleet_model& model);
lull::duration cold_time(const fleet_model& model);
/// What it takes longer where its process was checkpointed, and holds nothing on the GPU.
constexpr lull::duration restore_time = std::chrono::milliseconds(350);
/// To go to sleep, or to end: the mean of the models, as a budget does not say whom it lets leave
/// before it does.
constexpr lull::duration leave_time = std::chrono::seconds(1);
/// After so long without a first token who asked has gone.
constexpr lull::duration patience = std::chrono::seconds(120);
/// After so long another model may not get new work while this one waits.
constexpr lull::duration longest_turn = std::chrono::seconds(30);

struct fleet_request {
  lull::duration at{};       ///< since the start
  lull::duration prefill{};  ///< from the moment that its model is ready to its first token
  lull::duration work{};     ///< until its last token
  std::size_t model = 0;     ///< of its node
};

/// What one node has to do.
struct node_load {
  std::vector<fleet_model> models;
  std::vector<fleet_request> requests;  ///< as they come
  std::uint64_t host_bytes = 0;
  /// What comes before it fills the node, and is not counted.
  lull::duration counted_from{};
  lull::duration end{};
};

struct fleet_size {
  std::size_t nodes = 1000;
  std::size_t models = 10000;
  /// A machine of eight GPUs with 2 TiB has 256 GiB for each.
  std::uint64_t host_bytes = std::uint64_t{256} << 30U;
  double requests_per_second = 15;  ///< on average over a day
  double hours = 24;
  double counted_from = 12;  ///< hours; the fuller half of the day
};

struct fleet_load {
  std::vector<node_load> nodes;
  /// Models of which somebody wants something at a given moment, on average, if all were awake at
  /// once: no scheduler that swaps by request gets by with fewer places (the bound of Aegaeon).
  double active = 0;
};

fleet_load make_load(const fleet_size& size, std::uint32_t seed);

}  // namespace bench::fleet

#endif  // BENCH_FLEET_TRAFFIC_HPP
