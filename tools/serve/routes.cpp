#include "routes.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "model_actions.hpp"
#include "model_name.hpp"
#include "route_groups.hpp"
#include "state_json.hpp"

namespace lull::serve {
namespace {

/// A line for each interface.
constexpr void (*groups[])(route_table&, const router_parts&) = {
    add_own_routes,  add_openai_routes, add_llama_routes,   add_swap_routes,
    add_vllm_routes, add_page_routes,   add_cluster_routes,
};

/// Paths by which people look at a server. A look neither wakes a model nor keeps it awake.
bool is_look(std::string_view method, std::string_view path) {
  static constexpr std::string_view looks[] = {
      "/health", "/metrics", "/props",     "/slots",       "/models",     "/v1/models",
      "/ping",   "/version", "/v1/health", "/is_sleeping", "/favicon.ico"};
  return method == "GET" && std::find(std::begin(looks), std::end(looks), path) != std::end(looks);
}

bool may_have_body(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

std::string page_event(fleet& models) {
  using nlohmann::json;
  return fmt::format("data: {}\n\n",
                     ui_state(models).dump(-1, ' ', false, json::error_handler_t::replace));
}

std::string swap_event(const fleet& models) {
  const nlohmann::json envelope{{"type", "modelStatus"}, {"data", swap_status(models).dump()}};
  return fmt::format("event:message\ndata:{}\n\n", envelope.dump());
}

}  // namespace

routes::routes(fleet& models, metrics& counts, access_rules rules)
    : fleet_(models),
      rules_(std::move(rules)),
      page_([&models] { return page_event(models); }),
      swap_events_([&models] { return swap_event(models); }) {
  for (const auto add : groups) add(table_, {models, counts, page_, swap_events_});
}

decision routes::decide(const header_fields& fields, std::string_view method,
                        std::string_view target, bool upgrade) {
  if (const auto why = check_origin(rules_, fields)) return answer_of(*why);
  const request_head asked{fields, method == "HEAD" ? "GET" : method, target, plain_path(target),
                           upgrade};
  const auto named = query_value(target, "model");
  // A look at one model's server, through the name in the query.
  if (named && is_look(asked.method, asked.path)) return for_query(asked, *named);
  if (auto own = table_.find(asked, rules_)) return std::move(*own);
  if (asked.path.starts_with("/upstream/")) return this->upstream(asked);
  if (named) return for_model(named, std::string(target));
  if (may_have_body(method)) return to_do::find_in_body{};
  return not_found_answer(asked.path);
}

decision routes::for_model(const std::optional<std::string>& name,
                           const std::string& target) const {
  return serve::for_model(fleet_, name, target);
}

decision routes::for_query(const request_head& asked, const std::string& name) const {
  const auto which = fleet_.find(name);
  if (!which) return for_model(name, std::string(asked.target));
  if (auto own = table_.find_of_model(which, asked, asked.path, rules_)) return std::move(*own);
  return to_do::send_to{which, std::string(asked.target), true};
}

/// "/upstream/NAME/path". Names may have slashes in them: the longest that fits.
decision routes::upstream(const request_head& asked) const {
  constexpr std::string_view prefix = "/upstream/";
  if (!asked.target.starts_with(prefix)) return not_found_answer(asked.path);
  const std::string_view rest = asked.target.substr(prefix.size());
  const std::size_t query = std::min(rest.find('?'), rest.size());
  for (std::size_t end = query; end != std::string_view::npos && end > 0;
       end = rest.rfind('/', end - 1)) {
    const auto name = decode_url(rest.substr(0, end), false);
    const auto which = name ? fleet_.find(*name) : nullptr;
    if (!which) continue;
    std::string inner(rest.substr(end));
    if (!inner.starts_with('/')) inner.insert(0, "/");
    const std::string path = plain_path(inner);
    if (auto own = table_.find_of_model(which, asked, path, rules_)) return std::move(*own);
    return to_do::send_to{which, inner, !asked.upgrade && is_look(asked.method, path)};
  }
  const auto name = decode_url(rest.substr(0, std::min(rest.find('/'), query)), false);
  return for_model(name, std::string(asked.target));
}

void routes::tell_change() {
  page_.tell();
  swap_events_.tell();
}

/// The page's bars have time on one axis.
void routes::tell_time() {
  page_.tell();
}

}  // namespace lull::serve
