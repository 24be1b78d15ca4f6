#include <algorithm>
#include <limits>
#include <set>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "nearest.hpp"
#include "read_parts.hpp"

namespace lull::serve {
namespace {

constexpr std::string_view port_macro = "${PORT}";

std::string with_port(std::string text, std::uint16_t port) {
  const std::string number = std::to_string(port);
  for (std::size_t at = 0; (at = text.find(port_macro, at)) != std::string::npos;) {
    text.replace(at, port_macro.size(), number);
    at += number.size();
  }
  return text;
}

bool has_port(const std::string& text) {
  return text.find(port_macro) != std::string::npos;
}

/// One model, key by key.
class reader {
 public:
  reader(findings& found, const section::entry& given, const config& router, macros own)
      : found_(&found),
        router_(&router),
        name_(given.key),
        model_(found, given.value, "models." + given.key),
        macros_(std::move(own)) {
    draft_.value.name = name_;
    draft_.places["name"] = {given.key_node.Mark(), model_.path("")};
  }

  model_draft run(const model_defaults& defaults) {
    if (name_.empty()) found_->mistake(model_.mark(), "models", "a model must have a name");
    macros_.define("MODEL_ID", name_);
    if (auto own = model_.map("macros")) macros_.read(*own);
    read_server();
    read_names();
    read_limits(defaults);
    read_memory(defaults);
    model_.without_effect(
        {"metadata", "capabilities", "filters", "useModelName", "timeouts", "sendLoadingState"},
        "does nothing here: requests go on as they came");
    model_.finish();
    return std::move(draft_);
  }

 private:
  /// A text with its macros filled in, but for the port.
  std::optional<std::string> text(std::string_view key, std::set<std::string> left = {"PORT"}) {
    const std::optional<std::string> written = model_.text(key);
    if (!written) return std::nullopt;
    return expand(*written, key, left);
  }

  std::optional<std::string> expand(const std::string& written, std::string_view key,
                                    const std::set<std::string>& left) {
    const text_place place{model_.mark_of(key), model_.path(key)};
    draft_.places[std::string(key)] = place;
    return macros_.expand(*found_, written, place, left);
  }

  void read_server() {
    model_config& model = draft_.value;
    if (!model_.has("cmd")) {
      found_->mistake(model_.mark(), model_.path("cmd"), "is missing: the command of the server");
    }
    draft_.command = command("cmd", {"PORT"});
    draft_.stop_command = command("cmdStop", {"PORT", "PID"});
    draft_.proxy = text("proxy").value_or("");
    if (auto path = text("checkEndpoint")) model.check_path = *path;
    if (model.check_path == "none") {
      model.check_path.clear();
    } else if (!model.check_path.starts_with('/') ||
               model.check_path.find_first_of(" \t\r\n#") != std::string::npos) {
      model_.mistake("checkEndpoint", fmt::format("'{}' is no path; they look like /health, and "
                                                  "'none' asks nothing",
                                                  model.check_path));
    }
    for (const YAML::Node& each : model_.list("env")) {
      const auto written = found_->text(each, model_.path("env"));
      auto line = written ? expand(*written, "env", {"PORT"}) : std::nullopt;
      if (!line) continue;
      const std::size_t sign = line->find('=');
      if (sign == 0 || sign == std::string::npos || line->find('\0') != std::string::npos) {
        found_->mistake(each.Mark(), model_.path("env"),
                        fmt::format("'{}' is no variable; they look like NAME=value", *line));
      } else {
        model.environment.push_back(std::move(*line));
      }
    }
  }

  std::string command(std::string_view key, const std::set<std::string>& left) {
    const std::optional<std::string> written = model_.text(key);
    if (!written) return "";
    const std::optional<std::string> filled = expand(without_comments(*written), key, left);
    if (filled && filled->find_first_not_of(" \t\r\n") == std::string::npos) {
      model_.mistake(key, "is empty, and must be a command");
    }
    return filled.value_or("");
  }

  void read_names() {
    model_config& model = draft_.value;
    model.title = text("name").value_or("");
    model.description = text("description").value_or("");
    model.unlisted = model_.flag("unlisted").value_or(false);
    for (const YAML::Node& each : model_.list("aliases")) {
      const std::string key = model_.path("aliases");
      std::optional<std::string> alias;
      bool unlisted = false;
      if (each.IsMap()) {
        section one(*found_, each, key);
        alias = one.text("id");
        unlisted = one.flag("unlisted").value_or(false);
        one.text("name");
        one.finish();
      } else {
        alias = found_->text(each, key);
      }
      if (!alias || alias->empty()) {
        found_->mistake(each.Mark(), key, "an alias must be a name");
        continue;
      }
      model.aliases.push_back(*alias);
      if (unlisted) model.unlisted_aliases.push_back(*alias);
      draft_.places["aliases." + *alias] = {each.Mark(), key};
    }
  }

  void read_limits(const model_defaults& defaults) {
    model_config& model = draft_.value;
    model.check_timeout =
        model_.positive_span("healthCheckTimeout").value_or(defaults.check_timeout);
    model.stop_timeout = model_.span("unloadTimeout").value_or(duration::zero());
    if (model.stop_timeout == duration::zero()) model.stop_timeout = defaults.stop_timeout;
    model.concurrency_limit =
        static_cast<std::uint32_t>(model_.whole("concurrencyLimit", 0, 1000000).value_or(0));
    model.priority = static_cast<std::int32_t>(
        model_.whole("priority", -1000000, 1000000).value_or(model.priority));
    model.min_resident = model_.span("min_resident").value_or(defaults.min_resident);
    model.max_wait = model_.positive_span("max_wait");
    if (!model.max_wait) model.max_wait = defaults.max_wait;
    model.allow_remote = model_.flag("allow_remote").value_or(defaults.allow_remote);
  }

  void read_memory(const model_defaults& defaults) {
    model_config& model = draft_.value;
    if (const auto given = model_.node("memory")) {
      draft_.places["memory"] = {given->Mark(), model_.path("memory")};
      if (given->IsMap()) {
        model.memory = read_sizes(section(*found_, *given, model_.path("memory")), *router_);
      } else {
        model.memory_anywhere = model_.size("memory");
      }
    }
    model.pinned = model_.flag("pinned").value_or(false);
    std::optional<duration> own_ttl;
    if (model_.has("ttl") && model_.text("ttl") != "-1") own_ttl = model_.span("ttl");
    std::optional<std::vector<sleep_rung>> own = read_ladder(model_, *router_);
    const bool sleeps =
        own && std::any_of(own->begin(), own->end(), [](const auto& rung) { return rung.after; });
    if (model.pinned && (sleeps || own_ttl.value_or(duration::zero()) > duration::zero())) {
      model_.mistake("pinned",
                     "a pinned model is never put away; leave out its ttl and the times "
                     "of its ladder, or `pinned`");
    }
    model.ladder = own ? std::move(*own) : defaults.ladder;
    add_stop(own_ttl.value_or(defaults.ttl));
    if (!model.pinned) return;
    for (sleep_rung& rung : model.ladder) rung.after.reset();
  }

  /// Every ladder ends with `stop`; `ttl` says when.
  void add_stop(duration ttl) {
    std::vector<sleep_rung>& ladder = draft_.value.ladder;
    const bool stops = !ladder.empty() && ladder.back().way == sleep_way::stop;
    if (!stops) ladder.push_back({.level = "stop", .way = sleep_way::stop});
    sleep_rung& last = ladder.back();
    if (ttl == duration::zero()) return;
    if (last.after) {
      // Of two times the one that was written nearer counts; both in one model contradict.
      if (model_.has("ttl") && model_.has("ladder")) {
        model_.mistake("ttl", "the ladder says already when it stops; leave one of them out");
      }
      return;
    }
    for (const sleep_rung& rung : ladder) {
      if (!rung.after || *rung.after < ttl) continue;
      const std::string_view key = model_.has("ladder") ? "ladder" : "ttl";
      model_.mistake(key,
                     fmt::format("it would stop, by its ttl, before it sleeps ('{}')", rung.level));
      return;
    }
    last.after = ttl;
  }

  findings* found_;
  const config* router_;
  std::string name_;
  section model_;
  macros macros_;
  model_draft draft_;
};

}  // namespace

bool model_draft::needs_port() const {
  return has_port(command);
}

model_draft read_model(findings& found, const section::entry& given, const config& router,
                       const model_defaults& defaults, const macros& shared) {
  return reader(found, given, router, shared).run(defaults);
}

void finish_model(findings& found, model_draft& draft, std::optional<std::uint16_t> port) {
  model_config& model = draft.value;
  if (port) {
    for (std::string* const text : {&draft.command, &draft.stop_command, &draft.proxy, &model.title,
                                    &model.description, &model.check_path}) {
      *text = with_port(std::move(*text), *port);
    }
    for (std::string& line : model.environment) line = with_port(std::move(line), *port);
  }
  const auto parse = [&](const char* key, auto make) {
    try {
      make();
    } catch (const std::invalid_argument& wrong) {
      const text_place& place = draft.places.at(key);
      found.mistake(place.at, place.key, wrong.what());
    }
  };
  if (!draft.command.empty()) {
    parse("cmd", [&] {
      model.command = split_words(draft.command);
      if (model.command.empty() || model.command.front().empty()) {
        throw std::invalid_argument("has no program to run");
      }
    });
  }
  parse("cmdStop", [&] { model.stop_command = split_words(draft.stop_command); });
  if (!draft.proxy.empty()) {
    parse("proxy", [&] {
      if (has_port(draft.proxy)) {
        throw std::invalid_argument("has ${PORT}, but `cmd` has not: the server has to be told");
      }
      const url upstream = parse_url(draft.proxy);
      model.upstream = upstream.where;
      model.upstream_path = upstream.path;
    });
  } else if (port) {
    model.upstream = {.host = "127.0.0.1", .port = *port};
  } else if (!draft.command.empty() && draft.places.count("proxy") == 0) {
    const text_place& place = draft.places.at("cmd");
    found.mistake(place.at, place.key,
                  "has no ${PORT}; put it where the server is told its port, or say by `proxy` "
                  "where it listens");
  }
}

}  // namespace lull::serve
