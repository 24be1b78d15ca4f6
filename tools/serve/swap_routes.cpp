#include <nlohmann/json.hpp>

#include "model_actions.hpp"
#include "route_groups.hpp"
#include "state_json.hpp"

namespace lull::serve {
namespace {

/// What servers have written so far, and what they write from now on.
/// @param source a model; empty: all
void open_logs(fleet& models, const std::shared_ptr<stream>& to, const std::string& source) {
  for (const auto& each : models.models()) {
    if (source.empty() || source == each->name()) to->send(models.logs().tail(each->name()));
  }
  const std::uint64_t number =
      models.logs().listen([to, source](const std::string& from, std::string_view text) {
        if (source.empty() || from == source) to->send(text);
      });
  to->on_end([&models, number] { models.logs().forget(number); });
}

// What servers write may hold what people asked them: it takes the token.
void add_logs(route_table& to, const router_parts& parts) {
  to.add("GET", "/logs", guard::token, [parts](const local_request&, const reply& answered) {
    std::string text;
    for (const auto& each : parts.models.models()) text += parts.models.logs().tail(each->name());
    answered(text_answer(std::move(text)));
  });
  constexpr const char* type = "text/plain";
  to.open("/logs/stream", guard::token, type,
          [parts](const std::shared_ptr<stream>& opened) { open_logs(parts.models, opened, {}); });
  to.add_prefix("GET", "/logs/stream/", guard::token,
                [parts](const request_head& asked, std::string_view rest) -> decision {
                  const auto which = model_in_path(parts.models, rest);
                  if (!which) return for_model(parts.models, std::string(rest), asked.path);
                  return to_do::streaming{type,
                                          [parts, which](const std::shared_ptr<stream>& opened) {
                                            open_logs(parts.models, opened, which->name());
                                          }};
                });
}

}  // namespace

void add_swap_routes(route_table& to, const router_parts& parts) {
  to.look("/running", [parts] { return json_answer(running_list(parts.models)); });
  to.open("/api/events", guard::none, "text/event-stream",
          [parts](const std::shared_ptr<stream>& opened) { parts.swap_events.add(opened); });
  const auto unload = [parts](const local_request&, const reply& answered) {
    stop_all(parts.models, answered);
  };
  to.add("POST", "/api/models/unload", guard::token, unload);
  to.add("POST", "/unload", guard::token, unload);
  to.add("GET", "/unload", guard::token, unload);
  to.add_prefix("POST", "/api/models/unload/", guard::token,
                [parts](const request_head& asked, std::string_view rest) -> decision {
                  const auto which = model_in_path(parts.models, rest);
                  if (!which) return for_model(parts.models, std::string(rest), asked.path);
                  return to_do::local{[which](const local_request&, const reply& answered) {
                    stop(which, answered);
                  }};
                });
  add_logs(to, parts);
}

}  // namespace lull::serve
