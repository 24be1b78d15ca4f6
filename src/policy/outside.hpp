#ifndef LULL_POLICY_OUTSIDE_HPP
#define LULL_POLICY_OUTSIDE_HPP

#include <lull/process.hpp>
#include <lull/sleeper.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vocabulary/unique_fd.hpp"

namespace lull::detail {

/// A program that is asked what is free on the devices, for as long as this process may not ask
/// itself: for each line it gets it writes one, "CUDA0 1048576 CUDA1 2097152". It holds nothing of
/// any device. For one thread at a time.
class outside_observer {
 public:
  /// @throws error as process
  explicit outside_observer(const std::vector<std::string>& program);

  /// @throws error timed_out: it has not answered within two seconds; backend: it has ended, or its
  ///         answer is none
  std::map<std::string, std::uint64_t> free_bytes();

 private:
  process child_;
  unique_fd questions_;
  unique_fd answers_;
  std::string rest_;  ///< of what was read
};

/// Absent when the line is none.
std::optional<std::map<std::string, std::uint64_t>> parse_free_line(std::string_view line);

}  // namespace lull::detail

#endif  // LULL_POLICY_OUTSIDE_HPP
