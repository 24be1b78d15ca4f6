#include <nlohmann/json.hpp>

#include "model_actions.hpp"
#include "route_groups.hpp"
#include "state_json.hpp"

namespace lull::serve {

void add_openai_routes(route_table& to, const router_parts& parts) {
  to.look("/v1/models", [parts] { return json_answer(model_list(parts.models)); });
  to.add_prefix("GET", "/v1/models/", guard::none,
                [parts](const request_head& asked, std::string_view rest) -> decision {
                  const auto which = model_in_path(parts.models, rest);
                  if (!which) return for_model(parts.models, std::string(rest), asked.path);
                  const nlohmann::json all = model_list(parts.models);
                  for (const nlohmann::json& each : all.at("data")) {
                    if (each.at("id") == which->name()) return json_answer(each);
                  }
                  return not_found_answer(asked.path);
                });
}

}  // namespace lull::serve
