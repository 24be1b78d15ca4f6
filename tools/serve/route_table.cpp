#include "route_table.hpp"

#include <utility>

namespace lull::serve {
namespace {

std::optional<refusal> check(guard needs, const access_rules& rules, const request_head& asked) {
  if (needs == guard::none) return {};
  return check_change(rules, asked.fields);
}

/// @return null: there is none
template <class Table>
const auto* entry_of(const Table& table, std::string_view method, std::string_view path) {
  using entry = typename Table::mapped_type::mapped_type;
  const auto rows = table.find(method);
  if (rows == table.end()) return static_cast<const entry*>(nullptr);
  const auto found = rows->second.find(path);
  return found == rows->second.end() ? nullptr : &found->second;
}

}  // namespace

void route_table::look(const std::string& path, std::function<answer()> made) {
  add("GET", path, guard::none,
      [made = std::move(made)](const local_request&, const reply& to) { to(made()); });
}

void route_table::add(const std::string& method, const std::string& path, guard needs,
                      handler handle) {
  paths_[method][path] = {needs, std::move(handle), {}, {}};
}

void route_table::open(const std::string& path, guard needs, std::string type, opener begin) {
  paths_["GET"][path] = {needs, {}, std::move(begin), std::move(type)};
}

void route_table::add_prefix(std::string method, std::string prefix, guard needs, chooser choose) {
  prefixes_.push_back({std::move(method), std::move(prefix), needs, std::move(choose)});
}

void route_table::add_of_model(const std::string& method, const std::string& path, guard needs,
                               model_handler handle) {
  of_model_[method][path] = {needs, std::move(handle)};
}

std::optional<decision> route_table::find(const request_head& asked,
                                          const access_rules& rules) const {
  if (const entry* const found = entry_of(paths_, asked.method, asked.path)) {
    if (const auto why = check(found->needs, rules, asked)) return answer_of(*why);
    if (found->begin) return to_do::streaming{found->type, found->begin};
    return to_do::local{found->handle};
  }
  for (const prefix_entry& each : prefixes_) {
    if (!asked.path.starts_with(each.prefix)) continue;
    if (!each.method.empty() && each.method != asked.method) continue;
    if (const auto why = check(each.needs, rules, asked)) return answer_of(*why);
    return each.choose(asked, std::string_view(asked.path).substr(each.prefix.size()));
  }
  return {};
}

std::optional<decision> route_table::find_of_model(const std::shared_ptr<model>& which,
                                                   const request_head& asked, std::string_view path,
                                                   const access_rules& rules) const {
  const model_entry* const found = entry_of(of_model_, asked.method, path);
  if (found == nullptr) return {};
  if (const auto why = check(found->needs, rules, asked)) return answer_of(*why);
  return to_do::local{
      [handle = found->handle, which](const local_request& request, const reply& to) {
        handle(which, request, to);
      }};
}

}  // namespace lull::serve
