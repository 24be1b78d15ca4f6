#ifndef LULL_POLICY_HALF_ASLEEP_HPP
#define LULL_POLICY_HALF_ASLEEP_HPP

#include <lull/error.hpp>

namespace lull::detail {

/// Thrown by a participant that could not take back what it had done: it is asleep in part.
struct half_asleep : error {
  explicit half_asleep(const error& why) : error(why) {}
};

}  // namespace lull::detail

#endif  // LULL_POLICY_HALF_ASLEEP_HPP
