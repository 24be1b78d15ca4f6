#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "nearest.hpp"
#include "read_parts.hpp"

namespace lull::serve {
namespace {

std::vector<std::string> names_of(const config& all) {
  std::vector<std::string> names;
  for (const model_config& model : all.models) {
    names.push_back(model.name);
    names.insert(names.end(), model.aliases.begin(), model.aliases.end());
  }
  return names;
}

model_config* find(findings& found, config& all, const std::string& name, const text_place& place) {
  for (model_config& model : all.models) {
    if (all.find(name) == &model) return &model;
  }
  found.mistake(place.at, place.key,
                fmt::format("there is no model '{}'{}", name, did_you_mean(name, names_of(all))));
  return nullptr;
}

void read_group(section& groups, const section::entry& each, config& into,
                std::map<std::string, std::string>& group_of) {
  section given(groups.found(), each.value, groups.path(each.key));
  group_config group{.name = each.key};
  group.swap = given.flag("swap").value_or(group.swap);
  group.exclusive = given.flag("exclusive").value_or(group.exclusive);
  group.persistent = given.flag("persistent").value_or(group.persistent);
  for (const YAML::Node& node : given.list("members")) {
    const text_place place{node.Mark(), given.path("members")};
    const auto name = given.found().text(node, place.key);
    const model_config* const model = name ? find(given.found(), into, *name, place) : nullptr;
    if (model == nullptr) continue;
    const auto [other, is_first] = group_of.emplace(model->name, each.key);
    if (!is_first) {
      given.found().mistake(place.at, place.key,
                            fmt::format("'{}' is in group '{}' already; a model is in one group",
                                        model->name, other->second));
      continue;
    }
    group.members.push_back(model->name);
  }
  given.finish();
  into.groups.push_back(std::move(group));
}

void read_groups(section& given, config& into) {
  auto groups = given.map("groups");
  if (!groups) return;
  std::map<std::string, std::string> group_of;
  for (const section::entry& each : groups->all()) read_group(*groups, each, into, group_of);
  if (into.groups.empty()) return;
  group_config others{.name = "(default)"};
  for (const model_config& model : into.models) {
    if (group_of.count(model.name) == 0) others.members.push_back(model.name);
  }
  if (!others.members.empty()) into.groups.push_back(std::move(others));
}

void read_priorities(section& fifo, config& into) {
  auto priorities = fifo.map("priority");
  if (!priorities) return;
  for (const section::entry& each : priorities->all()) {
    const text_place place{each.key_node.Mark(), priorities->path(each.key)};
    const auto priority = priorities->whole(each.key, -1000000, 1000000);
    model_config* const model = find(fifo.found(), into, each.key, place);
    if (model != nullptr && priority) model->priority = static_cast<std::int32_t>(*priority);
  }
}

/// llama-swap's newer place for groups and priorities.
void read_routing(section& given, config& into) {
  auto routing = given.map("routing");
  if (!routing) return;
  if (auto scheduler = routing->map("scheduler")) {
    scheduler->text("use");
    if (auto settings = scheduler->map("settings")) {
      if (auto fifo = settings->map("fifo")) {
        read_priorities(*fifo, into);
        fifo->finish();
      }
      settings->finish();
    }
    scheduler->finish();
  }
  if (auto router = routing->map("router")) {
    const std::string use = router->text("use").value_or("group");
    if (auto settings = router->map("settings")) {
      if (use == "group") {
        if (settings->has("groups") && given.has("groups")) {
          settings->mistake("groups", "there are `groups` on top too; keep one of them");
        }
        read_groups(*settings, into);
      } else {
        settings->without_effect({"groups"}, "does nothing here: another router is chosen");
      }
      settings->without_effect({"matrix"}, "does nothing here: memory decides who runs together");
      settings->finish();
    }
    router->finish();
  }
  routing->finish();
}

void read_hooks(section& given, config& into) {
  auto hooks = given.map("hooks");
  if (!hooks) return;
  if (auto at_start = hooks->map("on_startup")) {
    for (const YAML::Node& node : at_start->list("preload")) {
      const text_place place{node.Mark(), at_start->path("preload")};
      const auto name = given.found().text(node, place.key);
      model_config* const model = name ? find(given.found(), into, *name, place) : nullptr;
      if (model != nullptr) model->preload = true;
    }
    at_start->finish();
  }
  hooks->finish();
}

}  // namespace

void read_relations(section& given, config& into) {
  read_groups(given, into);
  read_routing(given, into);
  read_hooks(given, into);
}

}  // namespace lull::serve
