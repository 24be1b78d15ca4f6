// What those see who look at many machines: probes, and the books. None of it loads or wakes
// anything.

#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "budget_json.hpp"
#include "config/values.hpp"
#include "model_actions.hpp"
#include "model_name.hpp"
#include "readiness.hpp"
#include "route_groups.hpp"

namespace lull::serve {

using nlohmann::json;

namespace {

/// Nobody keeps an answer to a probe.
answer probed(const readiness& found, json more) {
  constexpr unsigned ok = 200;
  constexpr unsigned unavailable = 503;
  more["ready"] = found.ready;
  if (!found.ready) more["why"] = found.why;
  answer made = json_answer(more, found.ready ? ok : unavailable);
  made.headers.emplace_back("Cache-Control", "no-store");
  return made;
}

answer ready_for(fleet& all, const model& which, const std::string& target) {
  std::optional<duration> within;
  if (const auto given = query_value(target, "within")) {
    try {
      within = parse_span(*given);
    } catch (const std::invalid_argument& wrong) {
      return answer_of({400, std::string("within: ") + wrong.what(), {}});
    }
  }
  const model::view seen = which.look();
  json body{{"model", which.name()},
            {"state", to_string(seen.is)},
            {"level", seen.level.empty() ? json() : json(seen.level)}};
  if (seen.is != model::phase::ready) body["plan"] = plan_document(all, which);
  return probed(readiness_of(all, which, within), std::move(body));
}

}  // namespace

void add_cluster_routes(route_table& to, const router_parts& parts) {
  // That it is answered is the answer: all is done on the thread that would hang.
  to.look("/health/live", [] { return json_answer({{"live", true}}); });
  to.add("GET", "/health/ready", guard::none,
         [&all = parts.models](const local_request& asked, const reply& told) {
           if (!query_value(asked.target, "model")) return told(probed(readiness_of(all), {}));
           if (const auto which = named_in(all, asked, told)) {
             told(ready_for(all, *which, asked.target));
           }
         });
  to.add("GET", "/budget", guard::none,
         [&all = parts.models](const local_request& asked, const reply& told) {
           const bool plans = query_value(asked.target, "plans") == "true";
           told(json_answer(budget_document(all, plans)));
         });
}

}  // namespace lull::serve
