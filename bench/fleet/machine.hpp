#ifndef BENCH_FLEET_MACHINE_HPP
#define BENCH_FLEET_MACHINE_HPP

/// @file
/// Virtual time for one node, and what comes of a fleet.

#include <lull/clock.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "fleet/traffic.hpp"

namespace bench::fleet {

/// How a request found, or got, its model.
enum class path : std::uint8_t { awake, asleep, cold };
constexpr std::size_t paths = 3;

/// Why a request was not answered.
enum class refusal : std::uint8_t {
  never_fits,   ///< refused at once
  no_turn,      ///< others had the GPU for too long
  memory,       ///< its model might not wake: too much of the GPU was in use by those asleep
  host_memory,  ///< its model might not start: host memory was full
};
constexpr std::size_t refusals = 4;
constexpr std::array<const char*, refusals> refusal_names = {"never fits", "no turn in time",
                                                             "GPU memory check", "host memory"};

/// What came of the requests of a fleet, of those that are counted.
struct outcome {
  std::size_t requests = 0;
  std::array<std::size_t, paths> answered{};
  std::array<std::size_t, refusals> refused{};
  std::size_t wakes = 0;
  std::size_t restores = 0;         ///< of these, from a checkpoint that leaves nothing on the GPU
  std::size_t colds = 0;            ///< starts from nothing
  std::size_t ended = 0;            ///< models that would have to start from nothing again
  std::uint64_t copied_bytes = 0;   ///< between GPU and host memory
  std::uint64_t loaded_bytes = 0;   ///< from disk
  double resident_seconds = 0;      ///< summed over models that are awake or asleep
  double seconds = 0;               ///< summed over nodes
  std::uint64_t sleeper_bytes = 0;  ///< the most that those asleep held on one GPU
  /// The least that was left of a GPU for those that are awake.
  std::uint64_t room_bytes = gpu_bytes;
  /// Moments at which a device held more than it has. Those before the count count too.
  std::size_t overfull = 0;
  /// Seconds from the request; of who was refused, all of their patience.
  std::vector<float> first_token{};

  [[nodiscard]] std::size_t all_answered() const;
  [[nodiscard]] std::size_t all_refused() const;
  void operator+=(const outcome& other);
  /// Sorts first_token.
  [[nodiscard]] double percentile(double share);
};

/// What happens on a node, in the order of time.
class machine {
 public:
  void in(lull::duration span, std::function<void()> what) {
    events_.push_back({time.now() + span, number_++, std::move(what)});
    std::push_heap(events_.begin(), events_.end(), later);
  }
  [[nodiscard]] lull::duration since_start() const { return time.now() - start_; }

  /// Until nothing is left to happen.
  /// @param ask what happens at a request
  /// @param due when `tick` has something to do
  void run(const std::vector<fleet_request>& requests,
           const std::function<void(const fleet_request&)>& ask,
           const std::function<lull::time_point()>& due, const std::function<void()>& tick) {
    std::size_t asked = 0;
    while (asked < requests.size() || !events_.empty()) {
      const auto event = events_.empty() ? lull::no_deadline : events_.front().at;
      const auto request =
          asked < requests.size() ? start_ + requests[asked].at : lull::no_deadline;
      const auto next = std::min({event, request, due()});
      if (next > time.now()) time.advance(next - time.now());
      if (next == request) {
        ask(requests[asked++]);
      } else if (next == event) {
        std::pop_heap(events_.begin(), events_.end(), later);
        const auto what = std::move(events_.back().what);
        events_.pop_back();
        what();
      } else {
        tick();
      }
    }
  }

  lull::manual_clock time;

 private:
  struct happening {
    lull::time_point at;
    std::uint64_t number;
    std::function<void()> what;
  };
  static bool later(const happening& a, const happening& b) {
    return std::pair(a.at, a.number) > std::pair(b.at, b.number);
  }

  const lull::time_point start_ = time.now();
  std::vector<happening> events_;  ///< a heap
  std::uint64_t number_ = 0;
};

/// The memory of a node as its devices would tell, and what is known of all that happens to it.
class books {
 public:
  books(machine& on, const node_load& load);

  /// A model is awake or asleep from now on, or is not any more.
  void resident(int change);
  /// Whoever makes a device hold more than it has is noted.
  void take(std::uint64_t gpu, std::uint64_t host);
  void give(std::uint64_t gpu, std::uint64_t host);
  /// What one holds on the GPU while it sleeps; 0: it does not.
  void sleeps(std::size_t model, std::uint64_t gpu);
  /// It has begun to come in.
  void woke(std::size_t model, bool from_checkpoint);
  void started(std::size_t model);
  /// Its contents went to host memory.
  void put_to_sleep(std::size_t model);
  void ended();
  /// Each request ends with one of these.
  void answered(const fleet_request& what, path how);
  void refused(const fleet_request& what, refusal why);

  [[nodiscard]] std::uint64_t gpu() const { return gpu_; }
  [[nodiscard]] std::uint64_t host() const { return host_; }
  outcome close();

 private:
  [[nodiscard]] bool counts() const { return on_.since_start() >= load_.counted_from; }

  machine& on_;
  const node_load& load_;
  outcome result_;
  std::vector<std::uint64_t> sleeps_with_;
  std::uint64_t gpu_ = 0;
  std::uint64_t host_ = 0;
  std::uint64_t asleep_ = 0;
  int residents_ = 0;
  lull::duration residents_counted_;
};

}  // namespace bench::fleet

#endif  // BENCH_FLEET_MACHINE_HPP
