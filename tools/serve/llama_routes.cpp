#include <nlohmann/json.hpp>

#include "model_actions.hpp"
#include "model_name.hpp"
#include "route_groups.hpp"
#include "state_json.hpp"

namespace lull::serve {

void add_llama_routes(route_table& to, const router_parts& parts) {
  to.look("/models", [parts] { return json_answer(model_list(parts.models)); });
  to.add("POST", "/models/load", guard::token,
         [parts](const local_request& asked, const reply& answered) {
           if (const auto which = named_in(parts.models, asked, answered)) {
             // llama.cpp's answers as soon as it has begun.
             load(parts.models, which, answered, query_value(asked.target, "wait") == "true");
           }
         });
  to.add("POST", "/models/unload", guard::token,
         [parts](const local_request& asked, const reply& answered) {
           if (const auto which = named_in(parts.models, asked, answered)) stop(which, answered);
         });
}

}  // namespace lull::serve
