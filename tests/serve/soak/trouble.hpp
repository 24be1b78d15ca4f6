#ifndef TESTS_SERVE_SOAK_TROUBLE_HPP
#define TESTS_SERVE_SOAK_TROUBLE_HPP

#include <lull/process.hpp>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <random>
#include <thread>

#include "soak/router_process.hpp"

namespace lull::soak {

/// Kills servers and takes memory, at random, until it ends.
class trouble {
 public:
  trouble(const router_process& router, unsigned seed);
  ~trouble();
  trouble(const trouble&) = delete;
  trouble& operator=(const trouble&) = delete;

  /// Ends, and gives back the memory.
  void stop();
  [[nodiscard]] int kills() const noexcept { return kills_; }
  [[nodiscard]] int intrusions() const noexcept { return intrusions_; }

 private:
  void run(unsigned seed);
  void kill_one(std::minstd_rand& chance);
  /// Another program takes a model's worth of the GPU, or gives it back.
  void toggle_memory();

  const router_process& router_;
  std::optional<process> intruder_;
  std::atomic<int> kills_{0};
  std::atomic<int> intrusions_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace lull::soak

#endif  // TESTS_SERVE_SOAK_TROUBLE_HPP
