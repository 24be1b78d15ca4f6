#include "model_actions.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "model_name.hpp"

namespace lull::serve {

using nlohmann::json;

namespace {

/// `tags` of the query, several times, and of a JSON body, one or a list.
/// @return absent: that is no list of tags
std::optional<model::tag_list> tags_of(const local_request& asked) {
  model::tag_list tags = query_values(asked.target, "tags");
  const json body = json::parse(asked.body, nullptr, false);
  if (const auto found = body.find("tags"); body.is_object() && found != body.end()) {
    const json list = found->is_array() ? *found : json::array({*found});
    for (const json& each : list) {
      if (!each.is_string()) return {};
      tags.push_back(each.get<std::string>());
    }
  }
  // As they are put into the query for the server.
  constexpr std::string_view letters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  const bool right = std::all_of(tags.begin(), tags.end(), [&](const std::string& each) {
    return !each.empty() && each.find_first_not_of(letters) == std::string::npos;
  });
  if (!right) return {};
  return tags;
}

answer wrong_tags() {
  return answer_of({400,
                    "'tags' must be names such as weights or kv_cache, several times in the "
                    "query or as a list in the body",
                    {}});
}

model::outcome told(const reply& to) {
  return [to](const std::optional<refusal>& why) { to(why ? answer_of(*why) : success_answer()); };
}

}  // namespace

decision for_model(const fleet& models, const std::optional<std::string>& name,
                   const std::string& target) {
  if (!name) return answer_of({400, "the request names no model", {}});
  if (auto which = models.find(*name)) return to_do::send_to{std::move(which), target, false};
  std::string known;
  for (const auto& each : models.models()) known += (known.empty() ? "" : ", ") + each->name();
  return answer_of({404, fmt::format("there is no model '{}'; there are {}", *name, known), {}});
}

std::shared_ptr<model> model_in_path(const fleet& models, std::string_view name) {
  return models.find(std::string(name));
}

std::optional<std::string> member_of(const local_request& asked, const char* name) {
  if (auto value = query_value(asked.target, name)) return value;
  const json body = json::parse(asked.body, nullptr, false);
  if (!body.is_object()) return {};
  const auto found = body.find(name);
  if (found == body.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  if (found->is_number_integer()) return found->dump();
  return {};
}

std::shared_ptr<model> named_in(const fleet& models, const local_request& asked, const reply& to) {
  const auto name = member_of(asked, "model");
  if (!name && models.models().size() == 1) return models.models().front();
  decision made = for_model(models, name, asked.target);
  if (auto* const found = std::get_if<to_do::send_to>(&made)) return found->to;
  to(std::get<answer>(std::move(made)));
  return nullptr;
}

void load(fleet& models, const std::shared_ptr<model>& which, const reply& to, bool wait) {
  const budget_preview preview = models.books().preview(which->name());
  if (preview.outcome == plan_outcome::impossible &&
      is_too_large(models.books().snapshot(), which->name())) {
    return to(
        answer_of({507, fmt::format("'{}' can never fit: {}", which->name(), preview.words), {}}));
  }
  const auto told = std::make_shared<bool>(false);
  which->acquire([to, told](const lease&, const refusal& why, const std::string&) {
    if (std::exchange(*told, true)) return;
    to(why.words.empty() ? success_answer() : answer_of(why));
  });
  if (!wait && !std::exchange(*told, true)) to(success_answer());
}

void put_away(const std::shared_ptr<model>& which, std::size_t depth, bool force, const reply& to) {
  which->put_away(depth, force, told(to));
}

void stop(const std::shared_ptr<model>& which, const reply& to) {
  put_away(which, which->deepest(), true, to);
}

void sleep(const std::shared_ptr<model>& which, const local_request& asked, const reply& to) {
  const auto tags = tags_of(asked);
  if (!tags) return to(wrong_tags());
  if (!tags->empty()) return which->sleep_tags(*tags, told(to));  // they win, as in vLLM
  const std::string level = member_of(asked, "level").value_or("1");
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

void wake(fleet& models, const std::shared_ptr<model>& which, const local_request& asked,
          const reply& to) {
  const auto tags = tags_of(asked);
  if (!tags) return to(wrong_tags());
  if (tags->empty()) return load(models, which, to, true);
  which->wake_tags(*tags, told(to));
}

void stop_all(const fleet& models, const reply& to) {
  const auto left = std::make_shared<std::size_t>(models.models().size() + 1);
  const auto done = [left, to](const std::optional<refusal>&) {
    if (--*left == 0) to(text_answer("OK"));
  };
  for (const auto& each : models.models()) each->put_away(each->deepest(), true, done);
  done({});
}

}  // namespace lull::serve
