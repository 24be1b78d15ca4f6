#include "routes.hpp"

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "model_name.hpp"
#include "state_json.hpp"
#include "ui/files.hpp"

namespace lull::serve {

using nlohmann::json;

namespace {

answer json_answer(const json& value, unsigned status = 200) {
  answer made;
  made.status = status;
  made.body = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return made;
}

answer text_answer(std::string text) {
  answer made;
  made.body = std::move(text);
  made.type = "text/plain; charset=utf-8";
  return made;
}

bool is_read(std::string_view method) {
  return method == "GET" || method == "HEAD";
}

/// Paths by which people look at a server. A look neither wakes a model nor keeps it awake.
bool is_look(std::string_view method, std::string_view path) {
  static constexpr std::string_view looks[] = {
      "/health", "/metrics", "/props",     "/slots",       "/models",     "/v1/models",
      "/ping",   "/version", "/v1/health", "/is_sleeping", "/favicon.ico"};
  return is_read(method) && std::find(std::begin(looks), std::end(looks), path) != std::end(looks);
}

std::string path_of(std::string_view target) {
  return std::string(target.substr(0, target.find('?')));
}

/// `prefix` and one name after it: "/api/models/unload/" and "a".
std::optional<std::string> after(const std::string& path, std::string_view prefix) {
  if (!path.starts_with(prefix) || path.size() == prefix.size()) return {};
  return decode_url(std::string_view(path).substr(prefix.size()), false);
}

std::optional<std::string> text_member(const json& object, const char* name) {
  if (!object.is_object()) return {};
  const auto found = object.find(name);
  if (found == object.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  if (found->is_number_integer()) return found->dump();
  return {};
}

/// Of the query, or else of a JSON body.
std::optional<std::string> member(const local_request& asked, const char* name) {
  if (auto value = query_value(asked.target, name)) return value;
  return text_member(json::parse(asked.body, nullptr, false), name);
}

answer not_found(const std::string& path) {
  return answer_of({404, fmt::format("there is no {}", path), {}});
}

}  // namespace

answer answer_of(const refusal& why) {
  constexpr unsigned server_side = 500;
  const char* const type = why.status == 401          ? "authentication_error"
                           : why.status == 429        ? "rate_limit_error"
                           : why.status < server_side ? "invalid_request_error"
                                                      : "server_error";
  answer made = json_answer(
      {{"error", {{"message", why.words}, {"type", type}, {"code", why.status}}}}, why.status);
  if (why.retry_after) {
    made.headers.emplace_back("Retry-After", std::to_string(why.retry_after->count()));
  }
  if (why.status == 401) made.headers.emplace_back("WWW-Authenticate", "Bearer");
  return made;
}

routes::routes(fleet& models, metrics& counts, access_rules rules)
    : fleet_(models), metrics_(counts), rules_(std::move(rules)) {
  add_observers();
  add_changes();
  add_streams();
}

void routes::add_observers() {
  table& get = by_method_["GET"];
  const auto observe = [&](const char* path, std::function<answer()> look) {
    get[path].handle = [look](const local_request&, const reply& to) { to(look()); };
  };
  observe("/health", [] { return json_answer({{"status", "ok"}}); });
  observe("/v1/models", [this] { return json_answer(model_list(fleet_)); });
  observe("/models", [this] { return json_answer(model_list(fleet_)); });
  observe("/running", [this] { return json_answer(running_list(fleet_)); });
  observe("/ui/state", [this] { return json_answer(ui_state(fleet_)); });
  observe("/metrics", [this] {
    answer page = text_answer(metrics_.page(fleet_));
    page.type = "text/plain; version=0.0.4; charset=utf-8";
    return page;
  });
  get["/is_sleeping"].handle = [this](const local_request& asked, const reply& to) {
    if (const auto which = named_in(asked, to)) {
      to(json_answer({{"is_sleeping", which->look().is != model::phase::ready}}));
    }
  };
}

void routes::add_changes() {
  table& post = by_method_["POST"];
  const auto change = [&](table& of, const char* path,
                          std::function<void(const local_request&, const reply&)> handle) {
    of[path] = {true, std::move(handle)};
  };
  const auto named = [this](auto act) {
    return [this, act](const local_request& asked, const reply& to) {
      if (const auto which = named_in(asked, to)) act(which, asked, to);
    };
  };
  change(post, "/models/load", named([this](const auto& which, const auto& asked, const reply& to) {
           load(which, to, query_value(asked.target, "wait") == "true");
         }));
  change(post, "/models/unload", named([this](const auto& which, const auto&, const reply& to) {
           put_away(which, which->deepest(), true, to);
         }));
  change(post, "/sleep", named([this](const auto& which, const auto& asked, const reply& to) {
           sleep(which, asked, to);
         }));
  change(post, "/wake_up",
         named([this](const auto& which, const auto&, const reply& to) { load(which, to, true); }));
  const auto unload_everything = [this](const local_request&, const reply& to) { unload_all(to); };
  change(post, "/api/models/unload", unload_everything);
  change(post, "/unload", unload_everything);
  change(by_method_["GET"], "/unload", unload_everything);
}

void routes::add_streams() {
  table& get = by_method_["GET"];
  constexpr const char* events = "text/event-stream";
  get["/ui/events"] = {
      false, {}, [this](const std::shared_ptr<stream>& to) { watch(to, false); }, events};
  get["/api/events"] = {
      false, {}, [this](const std::shared_ptr<stream>& to) { watch(to, true); }, events};
  // What servers write may hold what people asked them.
  get["/logs/stream"] = {
      true, {}, [this](const std::shared_ptr<stream>& to) { open_logs(to, {}); }, "text/plain"};
  get["/logs"].changes = true;
  get["/logs"].handle = [this](const local_request&, const reply& to) {
    std::string text;
    for (const auto& each : fleet_.models()) text += fleet_.logs().tail(each->name());
    to(text_answer(std::move(text)));
  };
}

decision routes::decide(const header_fields& fields, std::string_view method,
                        std::string_view target, bool upgrade) {
  if (const auto why = check_origin(rules_, fields)) return answer_of(*why);
  if (auto made = first_ ? first_(fields, method, target) : std::nullopt) return std::move(*made);
  const std::string path = path_of(target);
  const std::string_view looked_up = method == "HEAD" ? "GET" : method;
  // A look at one model's server, through the name in the query.
  if (is_look(method, path) && path != "/is_sleeping") {
    if (const auto name = query_value(target, "model")) {
      const auto which = fleet_.find(*name);
      if (!which) return for_model(name, std::string(target));
      if (auto own = model_route(which, fields, method, path)) return std::move(*own);
      return to_do::send_to{which, std::string(target), true};
    }
  }
  if (const auto rows = by_method_.find(looked_up); rows != by_method_.end()) {
    const auto found = rows->second.find(path);
    if (found != rows->second.end()) return of_entry(found->second, fields);
  }
  if (path.starts_with("/ui")) return ui(fields, looked_up, path);
  if (path.starts_with("/upstream/")) return upstream(fields, method, target, upgrade);
  if (auto found = by_prefix(fields, looked_up, path)) return std::move(*found);
  if (const auto name = query_value(target, "model")) {
    decision made = for_model(name, std::string(target));
    if (auto* const to = std::get_if<to_do::send_to>(&made)) to->observes = is_look(method, path);
    return made;
  }
  if (method == "POST" || method == "PUT" || method == "PATCH") return to_do::find_in_body{};
  if (path == "/") {
    answer to_page;
    to_page.status = 302;
    to_page.headers.emplace_back("Location", "/ui/");
    return to_page;
  }
  return not_found(path);
}

decision routes::of_entry(const entry& found, const header_fields& fields) const {
  if (found.changes) {
    if (const auto why = check_change(rules_, fields)) return answer_of(*why);
  }
  if (found.open) return to_do::streaming{found.type, found.open};
  return to_do::local{found.handle};
}

decision routes::change(const header_fields& fields,
                        std::function<void(local_request, reply)> handle) const {
  if (const auto why = check_change(rules_, fields)) return answer_of(*why);
  return to_do::local{std::move(handle)};
}

decision routes::for_model(const std::optional<std::string>& name,
                           const std::string& target) const {
  if (!name) return answer_of({400, "the request names no model", {}});
  const auto which = fleet_.find(*name);
  if (!which) {
    std::string known;
    for (const auto& each : fleet_.models()) {
      known += (known.empty() ? "" : ", ") + each->name();
    }
    return answer_of({404, fmt::format("there is no model '{}'; there are {}", *name, known), {}});
  }
  return to_do::send_to{which, target, false};
}

/// "/upstream/NAME/path". Names may have slashes in them: the longest that fits.
decision routes::upstream(const header_fields& fields, std::string_view method,
                          std::string_view target, bool upgrade) {
  constexpr std::string_view prefix = "/upstream/";
  const std::string_view rest = target.substr(prefix.size());
  const std::size_t query = std::min(rest.find('?'), rest.size());
  for (std::size_t end = query; end != std::string_view::npos && end > 0;
       end = rest.rfind('/', end - 1)) {
    const auto name = decode_url(rest.substr(0, end), false);
    const auto which = name ? fleet_.find(*name) : nullptr;
    if (which) {
      std::string inner(rest.substr(end));
      if (!inner.starts_with('/')) inner.insert(0, "/");
      const std::string path = path_of(inner);
      if (auto own = model_route(which, fields, method, path)) return std::move(*own);
      return to_do::send_to{which, inner, !upgrade && is_look(method, path)};
    }
    if (end == 0) break;
  }
  const auto name = decode_url(rest.substr(0, std::min(rest.find('/'), query)), false);
  return for_model(name, std::string(target));
}

/// vLLM's four, which the router answers for each model whatever its server has.
std::optional<decision> routes::model_route(const std::shared_ptr<model>& which,
                                            const header_fields& fields, std::string_view method,
                                            const std::string& path) {
  if (is_read(method) && path == "/health") {
    // One that sleeps can be woken: it counts as able to serve.
    const model::view seen = which->look();
    json body{{"status", "ok"}, {"state", to_string(seen.is)}};
    if (seen.is != model::phase::failed) return json_answer(body);
    return answer_of({503, fmt::format("'{}': {}", which->name(), seen.last_error), {}});
  }
  if (is_read(method) && path == "/is_sleeping") {
    return json_answer({{"is_sleeping", which->look().is != model::phase::ready}});
  }
  if (method != "POST") return {};
  if (path == "/sleep") {
    return change(fields, [this, which](const local_request& asked, const reply& to) {
      sleep(which, asked, to);
    });
  }
  if (path == "/wake_up") {
    return change(fields,
                  [this, which](const local_request&, const reply& to) { load(which, to, true); });
  }
  return {};
}

std::optional<decision> routes::by_prefix(const header_fields& fields, std::string_view method,
                                          const std::string& path) {
  if (const auto name = after(path, "/logs/stream/"); name && method == "GET") {
    if (const auto why = check_change(rules_, fields)) return answer_of(*why);
    const auto which = fleet_.find(*name);
    if (!which) return for_model(name, path);
    return to_do::streaming{"text/plain", [this, which](const std::shared_ptr<stream>& to) {
                              open_logs(to, which->name());
                            }};
  }
  if (const auto name = after(path, "/api/models/unload/"); name && method == "POST") {
    const auto which = fleet_.find(*name);
    if (!which) return for_model(name, path);
    return change(fields, [this, which](const local_request&, const reply& to) {
      put_away(which, which->deepest(), true, to);
    });
  }
  if (const auto name = after(path, "/v1/models/"); name && method == "GET") {
    const auto which = fleet_.find(*name);
    if (!which) return for_model(name, path);
    const json all = model_list(fleet_);
    for (const json& each : all.at("data")) {
      if (each.at("id") == which->name()) return json_answer(each);
    }
    return not_found(path);
  }
  return {};
}

/// The page's files, and "/ui/models/NAME/ACTION".
decision routes::ui(const header_fields& fields, std::string_view method, const std::string& path) {
  if (path == "/ui") {
    answer to_page;
    to_page.status = 302;
    to_page.headers.emplace_back("Location", "/ui/");
    return to_page;
  }
  if (method == "GET") {
    const ui::file* const found = ui::find_file(path);
    if (found == nullptr) return not_found(path);
    answer page;
    page.body = std::string(found->bytes);
    page.type = std::string(found->type);
    page.headers = {{"Content-Security-Policy", std::string(ui::content_security_policy)},
                    {"X-Content-Type-Options", "nosniff"},
                    {"Cache-Control", "no-cache"}};
    return page;
  }
  constexpr std::string_view prefix = "/ui/models/";
  const std::size_t slash = path.rfind('/');
  if (method != "POST" || !path.starts_with(prefix) || slash < prefix.size()) {
    return not_found(path);
  }
  const auto name =
      decode_url(std::string_view(path).substr(prefix.size(), slash - prefix.size()), false);
  const auto which = name ? fleet_.find(*name) : nullptr;
  if (!which) return for_model(name, path);
  const std::string action = path.substr(slash + 1);
  return change(fields, [this, which, action, path](const local_request& asked, const reply& to) {
    if (action == "load") return load(which, to, false);
    if (action == "sleep") return sleep(which, asked, to);
    if (action == "stop") return put_away(which, which->deepest(), true, to);
    if (action != "pin" && action != "unpin") return to(not_found(path));
    which->pin(action == "pin");
    to(json_answer({{"success", true}}));
  });
}

/// The model that a request of the router's own names; the only one where there is but one.
std::shared_ptr<model> routes::named_in(const local_request& asked, const reply& to) const {
  const auto name = member(asked, "model");
  if (!name && fleet_.models().size() == 1) return fleet_.models().front();
  decision made = for_model(name, asked.target);
  if (auto* const found = std::get_if<to_do::send_to>(&made)) return found->to;
  to(std::get<answer>(std::move(made)));
  return nullptr;
}

void routes::load(const std::shared_ptr<model>& which, const reply& to, bool wait) {
  const budget_preview preview = fleet_.books().preview(which->name());
  if (preview.outcome == plan_outcome::impossible &&
      is_too_large(fleet_.books().snapshot(), which->name())) {
    return to(
        answer_of({507, fmt::format("'{}' can never fit: {}", which->name(), preview.words), {}}));
  }
  const auto told = std::make_shared<bool>(false);
  which->acquire([to, told](const lease&, const refusal& why, const std::string&) {
    if (std::exchange(*told, true)) return;
    to(why.words.empty() ? json_answer({{"success", true}}) : answer_of(why));
  });
  // llama.cpp's answers as soon as it has begun.
  if (!wait && !std::exchange(*told, true)) to(json_answer({{"success", true}}));
}

void routes::put_away(const std::shared_ptr<model>& which, std::size_t depth, bool force,
                      const reply& to) {
  which->put_away(depth, force, [to](const std::optional<refusal>& why) {
    to(why ? answer_of(*why) : json_answer({{"success", true}}));
  });
}

void routes::sleep(const std::shared_ptr<model>& which, const local_request& asked,
                   const reply& to) {
  std::string level = member(asked, "level").value_or("1");
  const auto depth = which->depth_of(level);
  if (!depth) {
    std::string known;
    for (const sleep_rung& each : which->config().ladder) {
      known += (known.empty() ? "" : ", ") + each.level;
    }
    return to(answer_of(
        {400, fmt::format("'{}' has no level '{}'; it has {}", which->name(), level, known), {}}));
  }
  put_away(which, *depth, false, to);
}

void routes::unload_all(const reply& to) {
  const auto left = std::make_shared<std::size_t>(fleet_.models().size() + 1);
  const auto done = [left, to](const std::optional<refusal>&) {
    if (--*left == 0) to(text_answer("OK"));
  };
  for (const auto& each : fleet_.models()) each->put_away(each->deepest(), true, done);
  done({});
}

void routes::open_logs(const std::shared_ptr<stream>& to, const std::string& source) {
  for (const auto& each : fleet_.models()) {
    if (source.empty() || source == each->name()) to->send(fleet_.logs().tail(each->name()));
  }
  const std::uint64_t number =
      fleet_.logs().listen([to, source](const std::string& from, std::string_view text) {
        if (source.empty() || from == source) to->send(text);
      });
  to->on_end([this, number] { fleet_.logs().forget(number); });
}

namespace {

std::string ui_event(fleet& models) {
  return fmt::format("data: {}\n\n",
                     ui_state(models).dump(-1, ' ', false, json::error_handler_t::replace));
}

std::string swap_event(const fleet& models) {
  const json envelope{{"type", "modelStatus"}, {"data", swap_status(models).dump()}};
  return fmt::format("event:message\ndata:{}\n\n", envelope.dump());
}

}  // namespace

void routes::watch(const std::shared_ptr<stream>& to, bool swap_events) {
  to->send(swap_events ? swap_event(fleet_) : ui_event(fleet_));
  const std::uint64_t number = next_watcher_++;
  watchers_[number] = {to, swap_events};
  to->on_end([this, number] { watchers_.erase(number); });
}

void routes::tell_change() {
  if (watchers_.empty()) return;
  std::string page;
  std::string swap;
  const auto all = watchers_;  // one may end while it is told
  for (const auto& [number, each] : all) {
    std::string& text = each.swap_events ? swap : page;
    if (text.empty()) text = each.swap_events ? swap_event(fleet_) : ui_event(fleet_);
    each.to->send(text);
  }
}

void routes::tell_time() {
  const auto all = watchers_;
  std::string page;
  for (const auto& [number, each] : all) {
    if (each.swap_events) continue;
    if (page.empty()) page = ui_event(fleet_);
    each.to->send(page);
  }
}

}  // namespace lull::serve
