#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "model_actions.hpp"
#include "route_groups.hpp"

namespace lull::serve {
namespace {

using one_model = std::shared_ptr<model>;

answer is_sleeping(const model& which) {
  return json_answer({{"is_sleeping", which.look().is != model::phase::ready}});
}

/// One that sleeps can be woken: it counts as able to serve.
answer health(const model& which) {
  const model::view seen = which.look();
  if (seen.is == model::phase::failed) {
    return answer_of({503, fmt::format("'{}': {}", which.name(), seen.last_error), {}});
  }
  return json_answer({{"status", "ok"}, {"state", to_string(seen.is)}});
}

}  // namespace

void add_vllm_routes(route_table& to, const router_parts& parts) {
  // /health without a model is the router's own.
  to.add_of_model("GET", "/health", guard::none,
                  [](const one_model& which, const local_request&, const reply& answered) {
                    answered(health(*which));
                  });
  const auto add = [&](const char* method, const char* path, guard needs,
                       const route_table::model_handler& handle) {
    to.add_of_model(method, path, needs, handle);
    to.add(method, path, needs, [parts, handle](const local_request& asked, const reply& answered) {
      if (const auto which = named_in(parts.models, asked, answered)) {
        handle(which, asked, answered);
      }
    });
  };
  add("GET", "/is_sleeping", guard::none,
      [](const one_model& which, const local_request&, const reply& answered) {
        answered(is_sleeping(*which));
      });
  add("POST", "/sleep", guard::token, sleep);
  add("POST", "/wake_up", guard::token,
      [parts](const one_model& which, const local_request& asked, const reply& answered) {
        wake(parts.models, which, asked, answered);
      });
}

}  // namespace lull::serve
