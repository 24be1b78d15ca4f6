#include "model_actions.hpp"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "model_name.hpp"

namespace lull::serve {

using nlohmann::json;

decision for_model(const fleet& models, const std::optional<std::string>& name,
                   const std::string& target) {
  if (!name) return answer_of({400, "the request names no model", {}});
  if (auto which = models.find(*name)) return to_do::send_to{std::move(which), target, false};
  std::string known;
  for (const auto& each : models.models()) known += (known.empty() ? "" : ", ") + each->name();
  return answer_of({404, fmt::format("there is no model '{}'; there are {}", *name, known), {}});
}

std::shared_ptr<model> model_in_path(const fleet& models, std::string_view encoded) {
  const auto name = decode_url(encoded, false);
  return name ? models.find(*name) : nullptr;
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
  which->put_away(depth, force, [to](const std::optional<refusal>& why) {
    to(why ? answer_of(*why) : success_answer());
  });
}

void stop(const std::shared_ptr<model>& which, const reply& to) {
  put_away(which, which->deepest(), true, to);
}

void sleep(const std::shared_ptr<model>& which, const local_request& asked, const reply& to) {
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

void stop_all(const fleet& models, const reply& to) {
  const auto left = std::make_shared<std::size_t>(models.models().size() + 1);
  const auto done = [left, to](const std::optional<refusal>&) {
    if (--*left == 0) to(text_answer("OK"));
  };
  for (const auto& each : models.models()) each->put_away(each->deepest(), true, done);
  done({});
}

}  // namespace lull::serve
