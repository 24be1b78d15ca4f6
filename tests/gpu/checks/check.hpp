#ifndef LULL_TESTS_GPU_CHECKS_CHECK_HPP
#define LULL_TESTS_GPU_CHECKS_CHECK_HPP

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "command.hpp"

namespace gpu_checks {

using json = nlohmann::ordered_json;

/// One thing to run.
struct check {
  std::string name;
  /// Of the bundle; or of the machine, see `foreign`.
  std::string program;
  /// "SCRATCH" stands for an empty folder, "BUNDLE" for that of the bundle.
  std::vector<std::string> arguments = {};
  /// The file in SCRATCH that holds its result, one JSON value; "-" for its standard output.
  std::string result = {};
  seconds limit{60};
  /// A program of the machine, which may not be there: then the check is skipped.
  bool foreign = false;
  /// A folder of libraries, for this check before all others; empty: none.
  std::string library_folder = {};
  /// Why it cannot run here; then it is skipped. Empty: it can.
  std::string unfit = {};
};

enum class check_state : std::uint8_t {
  passed,
  failed,
  skipped,    ///< the program said what is missing here, or is not on this machine
  not_built,  ///< this bundle was made without that program
  not_run,    ///< no GPU, no time left, or interrupted
};
std::string_view to_string(check_state state) noexcept;

/// What became of it.
struct check_result {
  check what;
  check_state state = check_state::not_run;
  std::string reason = {};  ///< where it did not pass
  seconds elapsed{};
  std::vector<std::string> last_lines = {};  ///< of its output, where it did not pass
  json result = nullptr;
};

}  // namespace gpu_checks

#endif  // LULL_TESTS_GPU_CHECKS_CHECK_HPP
