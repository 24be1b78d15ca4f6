#include <nlohmann/json.hpp>

#include "model_actions.hpp"
#include "route_groups.hpp"
#include "state_json.hpp"
#include "ui/files.hpp"

namespace lull::serve {
namespace {

decision page_file(const std::string& path) {
  const ui::file* const found = ui::find_file(path);
  if (found == nullptr) return not_found_answer(path);
  answer page;
  page.body = std::string(found->bytes);
  page.type = std::string(found->type);
  page.headers = {{"Content-Security-Policy", std::string(ui::content_security_policy)},
                  {"X-Content-Type-Options", "nosniff"},
                  {"Cache-Control", "no-cache"}};
  return page;
}

/// A button. @param rest NAME/ACTION; a name may have slashes in it
decision page_action(fleet& models, const request_head& asked, std::string_view rest) {
  const std::size_t slash = rest.rfind('/');
  if (slash == std::string_view::npos) return not_found_answer(asked.path);
  const std::string_view name = rest.substr(0, slash);
  const auto which = model_in_path(models, name);
  if (!which) return for_model(models, std::string(name), asked.path);
  const std::string action(rest.substr(slash + 1));
  return to_do::local{[&models, which, action](const local_request& request, const reply& to) {
    if (action == "load") return load(models, which, to, false);
    if (action == "sleep") return sleep(which, request, to);
    if (action == "stop") return stop(which, to);
    if (action != "pin" && action != "unpin") return to(not_found_answer(request.path));
    which->pin(action == "pin");
    to(success_answer());
  }};
}

}  // namespace

void add_page_routes(route_table& to, const router_parts& parts) {
  const auto to_page = [](const local_request&, const reply& answered) {
    answered(redirect_answer("/ui/"));
  };
  to.add("GET", "/", guard::none, to_page);
  to.add("GET", "/ui", guard::none, to_page);
  to.look("/ui/state", [parts] { return json_answer(ui_state(parts.models)); });
  to.open("/ui/events", guard::none, "text/event-stream",
          [parts](const std::shared_ptr<stream>& opened) { parts.page.add(opened); });
  to.add_prefix("POST", "/ui/models/", guard::token,
                [parts](const request_head& asked, std::string_view rest) {
                  return page_action(parts.models, asked, rest);
                });
  to.add_prefix("", "/ui/", guard::none, [](const request_head& asked, std::string_view) {
    return asked.method == "GET" ? page_file(asked.path) : not_found_answer(asked.path);
  });
}

}  // namespace lull::serve
