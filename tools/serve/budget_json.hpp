#ifndef TOOLS_SERVE_BUDGET_JSON_HPP
#define TOOLS_SERVE_BUDGET_JSON_HPP

#include <nlohmann/json_fwd.hpp>

#include "fleet.hpp"

namespace lull::serve {

/// The books as a document for those who place models by bytes (docs/serve.md, "The budget as a
/// document").
/// @param plans also what each model's admission would do now, which takes a plan for each
[[nodiscard]] nlohmann::json budget_document(fleet& models, bool plans);

/// What a request for one model would do now.
[[nodiscard]] nlohmann::json plan_document(fleet& models, const model& which);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_BUDGET_JSON_HPP
