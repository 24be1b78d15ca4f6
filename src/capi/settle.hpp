#ifndef LULL_CAPI_SETTLE_HPP
#define LULL_CAPI_SETTLE_HPP

#include <lull/c/settle.h>
#include <lull/settle.hpp>

#include <memory>

struct lull_release_clock {
  std::shared_ptr<lull::release_clock> value;
};

#endif  // LULL_CAPI_SETTLE_HPP
