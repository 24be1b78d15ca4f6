#ifndef TOOLS_SERVE_READINESS_HPP
#define TOOLS_SERVE_READINESS_HPP

/// @file
/// Whether requests should be sent here. Nothing is started, woken or asked for that.

#include <optional>
#include <string>

#include "fleet.hpp"

namespace lull::serve {

struct readiness {
  bool ready = true;
  std::string why = {};  ///< it is not
};

/// Whether a request for the model would be served: it is there, or it can be brought with what
/// models that may ever leave would give back. Not one that is pinned out, too large beside other
/// programs, or paused because its last load has failed.
/// @param within if given, it also has to be there within that, as far as that was seen
[[nodiscard]] readiness readiness_of(fleet& all, const model& which,
                                     std::optional<duration> within = {});

/// Whether the router is: it does not end, the models of the start have come or failed to, and
/// there is a model that is ready, if there is any.
[[nodiscard]] readiness readiness_of(fleet& all);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_READINESS_HPP
