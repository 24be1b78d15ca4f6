#include <algorithm>
#include <fstream>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "nearest.hpp"
#include "read_parts.hpp"

namespace lull::serve {
namespace {

/// Something that can stand in a header as it is.
std::string as_token(const std::string& text) {
  const bool is_plain =
      std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (text.empty() || !is_plain) {
    throw std::invalid_argument("a token is a word of letters, digits and signs, without blanks");
  }
  return text;
}

std::string first_line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) {
    throw std::invalid_argument(fmt::format("'{}' cannot be read, or is empty", path));
  }
  if (line.ends_with('\r')) line.pop_back();
  return as_token(line);
}

void read_token(section& given, config& into) {
  if (given.has("token") && given.has("token_file")) {
    given.mistake("token_file", "there is a `token` too; leave one of them out");
  }
  into.token = given.value("token", as_token);
  if (!into.token) into.token = given.value("token_file", first_line_of);
}

void read_listen(section& given, config& into) {
  const bool has_token = given.has("token") || given.has("token_file");
  if (given.has("listen")) into.listen.clear();
  for (const YAML::Node& each : given.list("listen", true)) {
    const std::string key = given.path("listen");
    const auto where = given.parsed(each, key, parse_listen);
    if (!where) continue;
    if (!where->is_loopback() && !has_token) {
      given.found().mistake(each.Mark(), key,
                            fmt::format("{} is reached from other machines, which takes a `token` "
                                        "or a `token_file`",
                                        where->text()));
    }
    if (where->port != 0 &&
        std::find(into.listen.begin(), into.listen.end(), *where) != into.listen.end()) {
      given.found().mistake(each.Mark(), key, fmt::format("{} is there twice", where->text()));
    }
    into.listen.push_back(*where);
  }
}

void read_limits(section& given, limits_config& into) {
  auto limits = given.map("limits");
  if (!limits) return;
  const auto size = [&](std::string_view key, std::uint64_t least, std::uint64_t most,
                        std::uint64_t otherwise) {
    return limits
        ->value(key,
                [&](const std::string& text) {
                  const std::uint64_t bytes = parse_size(text);
                  if (bytes >= least && bytes <= most) return bytes;
                  throw std::invalid_argument(
                      fmt::format("'{}' is not from {} to {} bytes", text, least, most));
                })
        .value_or(otherwise);
  };
  into.connections =
      static_cast<std::size_t>(limits->whole("connections", 1, 1000000)
                                   .value_or(static_cast<std::int64_t>(into.connections)));
  into.header_bytes = size("header_size", 1024, std::uint64_t{1} << 20, into.header_bytes);
  into.body_bytes = size("body_size", 1024, std::uint64_t{1} << 40, into.body_bytes);
  into.header_time = limits->positive_span("header_time").value_or(into.header_time);
  into.idle_time = limits->positive_span("idle_time").value_or(into.idle_time);
  limits->finish();
}

void read_drain(section& given, drain_config& into) {
  auto drain = given.map("drain");
  if (!drain) return;
  into.delay = drain->span("delay").value_or(into.delay);
  into.requests = drain->span("requests").value_or(into.requests);
  into.total = drain->positive_span("total");
  if (into.total && *into.total <= into.delay + into.requests + time_to_kill) {
    drain->mistake("total",
                   "is no more than `delay`, `requests` and one second together, so that nothing "
                   "is left for servers to end in");
  }
  drain->finish();
}

device_config read_device(section& given, const section::entry& each, const config& router) {
  device_config device{
      .name = each.key, .margin_bytes = router.margin_bytes, .margin_share = router.margin_share};
  section one(given.found(), each.value, given.path(each.key));
  device.capacity_bytes = one.size("capacity");
  if (const auto kept = one.value("margin", parse_margin)) {
    device.margin_bytes = kept->bytes;
    device.margin_share = kept->share;
  }
  if (device.capacity_bytes && *device.capacity_bytes <= device.margin_bytes) {
    given.found().mistake(each.value.Mark(), one.path("capacity"),
                          fmt::format("is no more than its margin of {} bytes, so that nothing "
                                      "fits",
                                      device.margin_bytes));
  }
  one.finish();
  return device;
}

/// A list of names, or a map with what is said of each.
void read_devices(section& given, config& into) {
  const auto node = given.node("devices");
  if (!node) return;
  if (node->IsSequence()) {
    for (const std::string& name : given.texts("devices")) {
      const bool is_twice = std::any_of(into.devices.begin(), into.devices.end(),
                                        [&](const auto& each) { return each.name == name; });
      if (is_twice) given.mistake("devices", fmt::format("'{}' is there twice", name));
      into.devices.push_back(
          {.name = name, .margin_bytes = into.margin_bytes, .margin_share = into.margin_share});
    }
    return;
  }
  section devices(given.found(), *node, given.path("devices"));
  for (const section::entry& each : devices.all()) {
    into.devices.push_back(read_device(devices, each, into));
  }
}

}  // namespace

bytes_by_device read_sizes(section given, const config& router) {
  bytes_by_device sizes;
  std::vector<std::string> known;
  for (const device_config& device : router.devices) known.push_back(device.name);
  for (const section::entry& each : given.all()) {
    if (!known.empty() && std::find(known.begin(), known.end(), each.key) == known.end()) {
      given.found().mistake(each.key_node.Mark(), given.path(each.key),
                            fmt::format("`devices` has no such one{}; there are {}",
                                        did_you_mean(each.key, known), fmt::join(known, ", ")));
      continue;
    }
    if (const auto bytes = given.size(each.key)) sizes[each.key] = *bytes;
  }
  return sizes;
}

void read_router(section& given, config& into) {
  read_token(given, into);
  read_listen(given, into);
  into.allowed_hosts = given.texts("allowed_hosts", true);
  read_limits(given, into.limits);
  read_drain(given, into.drain);
  if (const auto kept = given.value("margin", parse_margin)) {
    into.margin_bytes = kept->bytes;
    into.margin_share = kept->share;
  }
  read_devices(given, into);
  into.fair_wait = given.positive_span("fair_wait").value_or(into.fair_wait);
  into.state_folder = given.text("state_folder").value_or("");
}

}  // namespace lull::serve
