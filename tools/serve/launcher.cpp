// Which request is for the launcher, and what it is answered.

#include "launcher.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <charconv>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "launcher_instance.hpp"
#include "model_name.hpp"

namespace lull::serve {

using nlohmann::json;

namespace {

constexpr std::string_view all_path = "/v2/vllm/instances";
constexpr std::string_view upstream_path = "/upstream/";
constexpr std::string_view memory_path = "/v1/dual-pods/accelerator-memory-usage";

decision wrong_method(std::string_view method) {
  return launcher_refusal({405, fmt::format("{} cannot be done here", method), {}});
}

decision unknown(const std::string& id) {
  return launcher_refusal({404, fmt::format("there is no instance '{}'", id), {}});
}

/// As FastAPI reads one.
bool parse_bool(const std::string& text) {
  std::string small = text;
  for (char& c : small) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (const char* const yes : {"true", "1", "yes", "on", "t", "y"}) {
    if (small == yes) return true;
  }
  for (const char* const no : {"false", "0", "no", "off", "f", "n"}) {
    if (small == no) return false;
  }
  throw std::invalid_argument(fmt::format("'{}' is neither true nor false", text));
}

std::int64_t parse_revision(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (wrong != std::errc{} || end != text.data() + text.size()) {
    throw std::invalid_argument(fmt::format("'{}' is no revision", text));
  }
  return value;
}

decision not_valid(const std::invalid_argument& wrong) {
  return launcher_refusal({422, wrong.what(), {}});
}

}  // namespace

answer launcher_refusal(const refusal& why) {
  answer made = answer_of(why);
  json body = json::parse(made.body);
  body["detail"] = why.words;
  made.body = body.dump();
  return made;
}

launcher::launcher(net::io_context& io, fleet& models, metrics& counts, launcher_options options)
    : io_(io),
      fleet_(models),
      options_(std::move(options)),
      door_routes_(models, counts, options_.rules),
      world_{io, door_routes_, counts, options_.limits} {
  set_rules(options_.rules);
  door_routes_.ask_first([this](const request_head& asked) { return at_door(asked); });
  fleet_.on_end([this](model& which, const std::optional<exit_status>& how) { ended(which, how); });
  log_reader_ = fleet_.logs().listen([this](const std::string& source, std::string_view text) {
    if (const auto which = find(source); which && which->served) which->log.add(text);
  });
}

launcher::~launcher() {
  fleet_.on_end([](model&, const std::optional<exit_status>&) {});
  fleet_.logs().forget(log_reader_);
}

void launcher::reconfigure(const launcher_config& given, const limits_config& limits) {
  options_.given = given;
  world_.limits = limits;
  set_rules(options_.rules);
}

void launcher::set_rules(const access_rules& rules) {
  options_.rules = rules;
  rules_ = rules;
  if (options_.given.open) rules_.token.reset();
  door_routes_.set_rules(rules_);
}

std::optional<decision> launcher::decide(const request_head& asked) {
  if (asked.path == memory_path) {
    if (asked.method != "GET") return wrong_method(asked.method);
    return to_do::local{[this](const local_request&, const reply& to) { tell_memory(to); }};
  }
  if (!asked.path.starts_with(all_path)) return not_yet(asked);
  const std::string rest = asked.path.substr(all_path.size());
  if (!rest.empty() && rest.front() != '/') return {};
  // Also to look: in environments are keys, and in logs what people asked.
  if (const auto why = check_change(rules_, asked.fields)) return launcher_refusal(*why);
  try {
    return of_path(asked, rest);
  } catch (const std::invalid_argument& wrong) {
    return not_valid(wrong);
  }
}

decision launcher::of_path(const request_head& asked, const std::string& rest) {
  if (rest.empty() || rest == "/") return of_all(asked);
  if (rest == "/watch") return asked.method == "GET" ? watch(asked) : wrong_method(asked.method);
  const std::size_t slash = std::min(rest.find('/', 1), rest.size());
  const std::string id = rest.substr(1, slash - 1);
  const std::string_view what = std::string_view(rest).substr(slash);
  if (what.empty()) return of_one(asked, id);
  if (what == "/log") return asked.method == "GET" ? log_of(asked, id) : wrong_method(asked.method);
  return launcher_refusal({404, fmt::format("there is no {}", asked.path), {}});
}

decision launcher::of_all(const request_head& asked) {
  const std::string_view method = asked.method;
  if (method == "POST") {
    return to_do::local{[this](const local_request& whole, const reply& to) {
      create(random_instance_id(), false, whole.body, to);
    }};
  }
  if (method == "DELETE") {
    return to_do::local{[this](const local_request&, const reply& to) { remove_all(to); }};
  }
  if (method != "GET") return wrong_method(method);
  if (!parse_bool(query_value(asked.target, "detail").value_or("true"))) {
    json ids = json::array();
    for (const auto& [id, which] : instances_) ids.push_back(id);
    return json_answer({{"revision", events_.revision()},
                        {"count", ids.size()},
                        {"instance_ids", std::move(ids)}});
  }
  json list = json::array();
  std::size_t running = 0;
  for (const auto& [id, which] : instances_) {
    running += which->stopped ? 0 : 1;
    list.push_back(state_of(*which));
  }
  return json_answer({{"revision", events_.revision()},
                      {"total_instances", list.size()},
                      {"running_instances", running},
                      {"instances", std::move(list)}});
}

decision launcher::of_one(const request_head& asked, const std::string& id) {
  const std::string_view method = asked.method;
  if (method == "PUT") {
    return to_do::local{[this, id](const local_request& whole, const reply& to) {
      create(id, true, whole.body, to);
    }};
  }
  if (method != "GET" && method != "DELETE") return wrong_method(method);
  const auto which = find(id);
  if (!which) return unknown(id);
  if (method == "GET") return json_answer(state_of(*which));
  // It may be gone by the time that all of the request is there.
  return to_do::local{[this, id](const local_request&, const reply& to) {
    if (const auto still = find(id)) return remove(still, to);
    to(std::get<answer>(unknown(id)));
  }};
}

decision launcher::log_of(const request_head& asked, const std::string& id) const {
  const auto which = find(id);
  if (!which) return unknown(id);
  const auto header = asked.fields.find("Range");
  byte_range wanted{.first = which->log.first_byte()};
  const bool is_part = header != asked.fields.end();
  if (is_part) {
    try {
      wanted = parse_range({header->value().data(), header->value().size()});
    } catch (const std::invalid_argument& wrong) {
      return launcher_refusal({400, wrong.what(), {}});
    }
  }
  answer made;
  made.type = "application/octet-stream";
  made.body = which->log.read(wanted);
  const std::uint64_t total = which->log.total_bytes();
  if (made.body.empty()) {
    made.status = 416;
    made.headers = {{"Content-Range", fmt::format("bytes */{}", total)}};
    return made;
  }
  made.status = is_part ? 206 : 200;
  made.headers = {{"Accept-Ranges", "bytes"},
                  {"Content-Range", fmt::format("bytes {}-{}/{}", wanted.first,
                                                wanted.first + made.body.size() - 1, total)},
                  {"X-Content-Type-Options", "nosniff"}};
  return made;
}

decision launcher::watch(const request_head& asked) {
  std::optional<std::uint64_t> since;
  if (const auto text = query_value(asked.target, "since")) {
    const std::int64_t from = parse_revision(*text);
    if (!events_.reaches(from)) {
      return launcher_refusal(
          {410,
           fmt::format("there is no revision {} any more; there are those from {} to {}: list "
                       "the instances, and watch from there",
                       from, events_.oldest(), events_.revision()),
           {}});
    }
    since = static_cast<std::uint64_t>(from);
  }
  return to_do::streaming{"application/x-ndjson", [this, since](const std::shared_ptr<stream>& to) {
                            std::vector<json> there;
                            if (!since) {
                              for (const auto& [id, which] : instances_) {
                                there.push_back(state_of(*which));
                              }
                              const auto is_older = [](const json& one, const json& other) {
                                return one["revision"] < other["revision"];
                              };
                              std::sort(there.begin(), there.end(), is_older);
                            }
                            events_.watch(to, since, there);
                          }};
}

/// A port of an instance leads to that instance, however a path is written.
std::optional<decision> launcher::at_door(const request_head& asked) const {
  const std::size_t end = asked.target.find_first_of("/?", upstream_path.size());
  const std::string_view own = asked.target.substr(0, end);
  const std::string_view path = asked.path;
  if (path == own || (path.starts_with(own) && path[own.size()] == '/')) return not_yet(asked);
  return not_found_answer(path);
}

/// A server that is not there yet is not asleep: whoever takes it for that would wake it, and look
/// at memory that it has itself.
std::optional<decision> launcher::not_yet(const request_head& asked) const {
  if (!asked.path.starts_with(upstream_path) || asked.method != "GET") return {};
  const std::string_view path = std::string_view(asked.path).substr(upstream_path.size());
  const std::size_t slash = std::min(path.find('/'), path.size());
  const std::string_view rest = path.substr(slash);
  if (rest != "/health" && rest != "/is_sleeping") return {};
  const auto which = find(std::string(path.substr(0, slash)));
  if (!which) return {};
  if (which->was_ready && which->served && which->served->look().is != model::phase::starting) {
    return {};
  }
  return launcher_refusal(
      {503, fmt::format("'{}' is {}", which->id, which->state()), std::chrono::seconds{1}});
}

/// One reading for all who ask meanwhile. It begins after the last of them has asked: who has just
/// put something to sleep wants to see what that freed.
void launcher::tell_memory(const reply& to) {
  asking_memory_.push_back(to);
  if (!reading_memory_) read_memory();
}

/// MiB, since that is what FMA's controller compares it with (accelMemoryIsLowEnough in
/// pkg/controller/dual-pods/inference-server.go), though pkg/spi/interface.go speaks of bytes.
void launcher::read_memory() {
  reading_memory_ = true;
  fleet_.threads().run([this, who = std::exchange(asking_memory_, {}), &io = io_,
                        &memory = fleet_.memory()] {
    constexpr std::uint64_t mib = std::uint64_t{1} << 20;
    const std::vector<budget_reading> seen = memory.used();
    json usage = json::object();
    std::string missing;
    for (const shared_device& each : memory.devices()) {
      if (!each.gpu) continue;
      const auto found = std::find_if(seen.begin(), seen.end(), [&](const budget_reading& reading) {
        return reading.device == each.books.name;
      });
      if (found == seen.end()) {
        missing = each.books.name;
      } else {
        usage[each.uuid()] = (found->used_bytes + mib - 1) / mib;
      }
    }
    const answer made =
        missing.empty()
            ? json_answer(usage)
            : launcher_refusal({500, fmt::format("{} does not say what is used", missing), {}});
    net::post(io, [this, who, made] {
      for (const reply& to : who) to(made);
      reading_memory_ = false;
      if (!asking_memory_.empty()) read_memory();
    });
  });
}

std::shared_ptr<launcher::instance> launcher::find(const std::string& id) const {
  const auto found = instances_.find(id);
  return found == instances_.end() ? nullptr : found->second;
}

}  // namespace lull::serve
