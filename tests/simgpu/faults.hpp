#ifndef LULL_TESTS_SIMGPU_FAULTS_HPP
#define LULL_TESTS_SIMGPU_FAULTS_HPP

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace simgpu {

/// Which calls of the fakes fail, hang or are slow. Thread-safe.
class faults {
 public:
  /// The n-th call of `function` from now on (1 is the next one; 0 is every one) returns `code`.
  void fail(std::string function, std::uint64_t n, int code);
  /// The n-th call of any function that can fail, from now on, returns `code`; n = 0 turns it off.
  void fail_nth(std::uint64_t n, int code);
  /// Every call of `function` waits until release().
  void hang(std::string function);
  /// Every call of `function` takes so long.
  void slow_down(std::string function, std::chrono::milliseconds by);
  /// Lets those that hang go on, and forgets every rule.
  void clear();

  /// Called first by every fake. May wait. @return the code to fail with; 0: go on
  [[nodiscard]] int enter(std::string_view function);

  /// Calls of `function` since the last clear().
  [[nodiscard]] std::uint64_t calls(std::string_view function) const;
  /// Calls of anything since fail_nth() or clear().
  [[nodiscard]] std::uint64_t all_calls() const;
  /// The function that fail_nth() made fail; empty if it did not come to it.
  [[nodiscard]] std::string failed_function() const;
  /// How many calls hang now.
  [[nodiscard]] int hanging() const;

  /// "cuMemCreate@3=2;nvmlInit_v2=hang;cudaMalloc=slow:20", for programs under test.
  void read_script(std::string_view text);

 private:
  struct rule {
    std::string function;
    std::uint64_t n = 0;
    int code = 0;
    bool hangs = false;
    std::chrono::milliseconds delay{0};
  };

  mutable std::mutex mutex_;
  std::condition_variable released_;
  std::vector<rule> rules_;
  std::map<std::string, std::uint64_t, std::less<>> calls_;
  std::uint64_t all_calls_ = 0;
  std::uint64_t nth_ = 0;
  int nth_code_ = 0;
  std::string failed_;
  std::uint64_t epoch_ = 0;
  int hanging_ = 0;
};

}  // namespace simgpu

#endif  // LULL_TESTS_SIMGPU_FAULTS_HPP
