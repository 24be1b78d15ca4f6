#ifndef LULL_CAPI_SLEEPER_HPP
#define LULL_CAPI_SLEEPER_HPP

#include <lull/c/sleeper.h>
#include <lull/settle.hpp>
#include <lull/sleeper.hpp>

#include <memory>

#include "capi/values.hpp"

struct lull_sleeper {
  std::shared_ptr<lull::release_clock> releases;  // first, so that it goes last
  lull::sleeper value;
};

namespace lull::capi {

template <>
inline constexpr lease_use last_of<lease_use> = lease_use::observe;

}  // namespace lull::capi

#endif  // LULL_CAPI_SLEEPER_HPP
