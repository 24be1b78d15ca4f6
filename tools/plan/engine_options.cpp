#include "plan/engine_options.hpp"

#include <lull/error.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <functional>
#include <map>
#include <string_view>

#include <fmt/format.h>

namespace lull::plan {
namespace {

[[noreturn]] void fail(std::string_view option, std::string_view value, std::string_view should) {
  throw error(status::invalid_argument, fmt::format("'{} {}': {}", option, value, should));
}

std::uint32_t whole(std::string_view option, std::string_view value) {
  std::uint32_t number = 0;
  const char* const end = value.data() + value.size();
  const auto [stopped, failed] = std::from_chars(value.data(), end, number);
  if (failed != std::errc{} || stopped != end) fail(option, value, "is no whole number");
  return number;
}

/// All for what llama.cpp calls so, and for negative numbers, as there.
std::optional<std::uint32_t> layers(std::string_view option, std::string_view value) {
  if (value == "all" || value == "auto" || value.starts_with('-')) return std::nullopt;
  return whole(option, value);
}

std::uint32_t type_named(std::string_view option, std::string_view name) {
  constexpr std::uint32_t last = 64;
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  };
  for (std::uint32_t id = 0; id <= last; ++id) {
    const auto type = gguf::find_type(id);
    if (type && std::equal(type->name.begin(), type->name.end(), name.begin(), name.end(), same)) {
      return id;
    }
  }
  fail(option, name, "is no type of tensors");
}

std::vector<double> shares(std::string_view option, std::string_view list) {
  std::vector<double> all;
  for (std::string_view rest = list; !rest.empty();) {
    const std::size_t end = std::min(rest.find_first_of(",/"), rest.size());
    double share = 0;
    const auto [stopped, failed] = std::from_chars(rest.data(), rest.data() + end, share);
    if (failed != std::errc{} || stopped != rest.data() + end || share < 0) {
      fail(option, list, "is no list of shares");
    }
    all.push_back(share);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return all;
}

/// Puts the value of an option in its place.
using setter = std::function<void(engine_options&, std::string_view option, std::string_view)>;

std::map<std::string_view, setter> setters() {
  std::map<std::string_view, setter> all;
  const auto add = [&all](std::initializer_list<std::string_view> names, const setter& set) {
    for (const std::string_view name : names) all[name] = set;
  };
  add({"-m", "--model"}, [](auto& to, auto, auto value) { to.model_file = value; });
  add({"-c", "--ctx-size"},
      [](auto& to, auto option, auto value) { to.use.context_tokens = whole(option, value); });
  add({"-np", "--parallel"}, [](auto& to, auto option, auto value) {
    to.use.slots = value.starts_with('-') ? 1 : std::max(1U, whole(option, value));
  });
  add({"-ngl", "--gpu-layers", "--n-gpu-layers"},
      [](auto& to, auto option, auto value) { to.use.device_layers = layers(option, value); });
  add({"-ctk", "--cache-type-k"},
      [](auto& to, auto option, auto value) { to.use.key_type = type_named(option, value); });
  add({"-ctv", "--cache-type-v"},
      [](auto& to, auto option, auto value) { to.use.value_type = type_named(option, value); });
  add({"-ncmoe", "--n-cpu-moe"},
      [](auto& to, auto option, auto value) { to.use.host_expert_layers = whole(option, value); });
  add({"-ts", "--tensor-split"},
      [](auto& to, auto option, auto value) { to.split = shares(option, value); });
  return all;
}

}  // namespace

std::optional<engine_options> engine_options_of(const std::vector<std::string>& command) {
  const auto known = setters();
  engine_options options;
  for (std::size_t at = 1; at < command.size(); ++at) {
    const std::string_view word = command[at];
    if (word == "-cmoe" || word == "--cpu-moe") options.use.host_expert_layers = ~std::uint32_t{0};
    const std::size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const auto found = known.find(name);
    if (found == known.end()) continue;
    if (equals != std::string_view::npos) {
      found->second(options, name, word.substr(equals + 1));
    } else if (at + 1 < command.size()) {
      found->second(options, name, command[++at]);
    }
  }
  if (options.model_file.empty()) return std::nullopt;
  return options;
}

}  // namespace lull::plan
