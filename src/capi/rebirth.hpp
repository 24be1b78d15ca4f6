#ifndef LULL_CAPI_REBIRTH_HPP
#define LULL_CAPI_REBIRTH_HPP

#include <lull/c/rebirth.h>
#include <lull/rebirth.hpp>

struct lull_handover {
  lull::reborn value;
};

namespace lull::capi {

/// @param given null: the defaults
rebirth_options make_rebirth_options(const lull_rebirth_options* given, const char* name);

}  // namespace lull::capi

#endif  // LULL_CAPI_REBIRTH_HPP
