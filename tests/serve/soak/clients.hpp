#ifndef TESTS_SERVE_SOAK_CLIENTS_HPP
#define TESTS_SERVE_SOAK_CLIENTS_HPP

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "soak/router_process.hpp"

namespace lull::soak {

/// What came of all requests.
struct tally {
  std::uint64_t asked = 0;
  std::uint64_t answered = 0;  ///< 200, by the model that was asked, and whole
  std::uint64_t left = 0;      ///< by clients that went before they had their answer
  std::uint64_t cut = 0;       ///< streams whose server died in the middle
  std::uint64_t closed = 0;    ///< streams whose connection was closed without an answer
  std::map<int, std::uint64_t> refused = {};          ///< by status, with a reason
  std::map<std::string, std::uint64_t> wrong = {};    ///< what must not happen
  std::map<std::string, std::uint64_t> reasons = {};  ///< the beginnings of refusals
  double longest_seconds = 0;
};

/// What models of the example server say, which must be the same however often they slept.
class known_answers {
 public:
  /// @return whether it is what was said before, if it was
  bool agrees(const std::string& question, const std::string& answer);

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> known_;
};

/// Many clients at once, each on a thread of its own, until they are told to stop.
class clients {
 public:
  clients(int port, servers which, std::vector<std::string> models, int count, unsigned seed);
  ~clients();
  clients(const clients&) = delete;
  clients& operator=(const clients&) = delete;

  /// Lets those who ask have their answers.
  void stop();
  [[nodiscard]] tally counts();

 private:
  void run(unsigned seed);

  int port_;
  servers which_;
  known_answers known_;
  std::vector<std::string> models_;
  std::atomic<bool> ending_{false};
  std::mutex mutex_;
  tally tally_;
  std::vector<std::thread> threads_;
};

}  // namespace lull::soak

#endif  // TESTS_SERVE_SOAK_CLIENTS_HPP
