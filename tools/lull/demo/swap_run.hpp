#ifndef TOOLS_LULL_DEMO_SWAP_RUN_HPP
#define TOOLS_LULL_DEMO_SWAP_RUN_HPP

#include <lull/device.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace lull::demo {

/// Two sets of weights that take turns on one device.
struct swap_result {
  std::uint64_t set_bytes = 0;               ///< of each of the two
  std::chrono::duration<double> in_turn{};   ///< one goes to sleep, then the other wakes
  std::chrono::duration<double> at_once{};   ///< one call
  std::chrono::duration<double> sleepers{};  ///< the same of two sleepers
  bool contents_equal = false;               ///< all along
};

/// Sets of at most so many bytes, and of what the device has room for.
/// @param progress gets a line
/// @return none on devices whose copies do not run beside others
/// @throws error
std::optional<swap_result> run_swap(const device& where, std::uint64_t most_bytes,
                                    const std::function<void(const std::string&)>& progress);

/// What is not as it must be, a sentence each.
std::vector<std::string> judge(const swap_result& what);

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_SWAP_RUN_HPP
