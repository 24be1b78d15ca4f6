#ifndef LULL_TESTS_GPU_CHECKS_RUNNER_HPP
#define LULL_TESTS_GPU_CHECKS_RUNNER_HPP

#include <chrono>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "check.hpp"

namespace gpu_checks {

/// Runs checks: each with its log, its result and what is known of its end.
class runner {
 public:
  struct options {
    std::filesystem::path bundle;  ///< absolute
    std::filesystem::path logs;    ///< made when it is not there
    std::set<std::string> programs;
    std::map<std::string, std::string> environment = {};
    /// For everything together. What has not begun by then is not run.
    seconds limit{520};
  };

  explicit runner(options given);

  /// Never throws for what the program does.
  check_result run(const check& what);

  /// Lets what is started from now on look for libraries here first.
  void add_library_folder(const std::filesystem::path& folder);

 private:
  [[nodiscard]] std::string library_path() const;
  [[nodiscard]] command command_for(const check& what, const std::filesystem::path& scratch) const;

  options given_;
  std::chrono::steady_clock::time_point end_;
};

}  // namespace gpu_checks

#endif  // LULL_TESTS_GPU_CHECKS_RUNNER_HPP
