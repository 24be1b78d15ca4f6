#ifndef TESTS_SERVE_SOAK_OBSERVER_HPP
#define TESTS_SERVE_SOAK_OBSERVER_HPP

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "soak/router_process.hpp"

namespace lull::soak {

/// What was seen while the load ran.
struct sightings {
  std::uint64_t samples = 0;
  std::uint64_t most_held_bytes = 0;    ///< by servers, as they themselves say
  std::uint64_t most_booked_bytes = 0;  ///< by models, as the router has it
  std::uint64_t over_budget = 0;        ///< samples with more than models may hold
  std::string first_over = {};          ///< of the first of these: who held what, and the books
  std::uint64_t unanswered = 0;         ///< looks at the router without an answer
  double slowest_look_seconds = 0;
  std::size_t most_resident_kib = 0;
  std::size_t most_descriptors = 0;
  std::map<pid_t, int> zombies = {};  ///< for how many samples in a row
  int longest_zombie = 0;
};

/// Looks at the GPU, at the router and at its children, ten times a second.
class observer {
 public:
  explicit observer(const router_process& router);
  ~observer();
  observer(const observer&) = delete;
  observer& operator=(const observer&) = delete;

  void stop();
  [[nodiscard]] sightings seen();

 private:
  void run();
  void look_at_gpu(sightings& into) const;
  void look_at_router(sightings& into) const;
  void look_at_children(sightings& into) const;

  const router_process& router_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;
  sightings seen_;
  std::thread thread_;
};

/// What living servers, which are not suspended, hold: of the GPU by their files, or of the memory
/// of this machine.
std::uint64_t held_by_servers(const router_process& router);

}  // namespace lull::soak

#endif  // TESTS_SERVE_SOAK_OBSERVER_HPP
