// How instances come and go.

#include <lull/error.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <random>
#include <set>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "launcher.hpp"
#include "launcher_instance.hpp"

namespace lull::serve {

using nlohmann::json;
using std::chrono::seconds;

namespace {

constexpr std::size_t most_body = std::size_t{64} << 10;

class not_made : public std::runtime_error {
 public:
  not_made(unsigned status, const std::string& words, std::optional<seconds> retry = {})
      : std::runtime_error(words), why_{status, words, retry} {}
  [[nodiscard]] const refusal& why() const noexcept { return why_; }

 private:
  refusal why_;
};

std::optional<std::string> variable(const std::string& name) {
  const char* const text = std::getenv(name.c_str());
  return text == nullptr || *text == '\0' ? std::nullopt : std::optional<std::string>(text);
}

/// As Python tells it, which the original is written in.
std::optional<int> python_code(const std::optional<exit_status>& how) {
  if (!how || how->how == exit_status::kind::unknown) return {};
  return how->how == exit_status::kind::signalled ? -how->value : how->value;
}

}  // namespace

std::string random_instance_id() {
  std::random_device source;
  std::array<std::uint32_t, 4> words{};
  for (std::uint32_t& each : words) each = source();
  words[1] = (words[1] & 0xffff0fffU) | 0x4000U;
  words[2] = (words[2] & 0x3fffffffU) | 0x80000000U;
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:04x}{:08x}", words[0], words[1] >> 16,
                     words[1] & 0xffffU, words[2] >> 16, words[2] & 0xffffU, words[3]);
}

std::string launcher::instance::state() const {
  if (stopped) return "stopped";
  if (!served) return "leaving";
  const model::phase is = served->look().is;
  if (is == model::phase::stopped) return was_ready ? "unloaded" : "waiting";
  return std::string(to_string(is));
}

/// `status` as the original has it: a server that is waited for, that sleeps, or that was stopped
/// to make room is one that runs, since a request brings it.
json launcher::state_of(const instance& which) const {
  json made{{"status", which.stopped ? "stopped" : "running"},
            {"instance_id", which.id},
            {"revision", which.revision},
            {"options", which.asked.options},
            {"state", which.state()}};
  if (!which.asked.gpu_uuids.empty()) made["gpu_uuids"] = which.asked.gpu_uuids;
  if (!which.asked.env_vars.empty()) made["env_vars"] = which.asked.env_vars;
  if (!which.asked.annotations.empty()) made["annotations"] = which.asked.annotations;
  if (which.stopped && !which.removing) {
    made["exit_code"] = which.exit_code ? json(*which.exit_code) : json();
    made["reason"] = which.reason;
  }
  return made;
}

void launcher::create(const std::string& id, bool is_named, const std::string& body,
                      const reply& to) {
  try {
    const auto which = make(id, is_named, body);
    instances_[id] = which;
    which->revision = events_.next_revision();
    const json state = state_of(*which);
    events_.publish("CREATED", state);
    load(which);
    to(json_answer(state, 201));
  } catch (const not_made& refused) {
    to(launcher_refusal(refused.why()));
  } catch (const std::invalid_argument& wrong) {
    to(launcher_refusal({422, wrong.what(), {}}));
  } catch (const std::exception& failure) {
    to(launcher_refusal({500, failure.what(), {}}));
  }
}

/// All that can be wrong is found before anything is changed.
std::shared_ptr<launcher::instance> launcher::make(const std::string& id, bool is_named,
                                                   const std::string& body) {
  if (world_.draining) throw not_made(503, "the router is ending", seconds{5});
  if (body.size() > most_body) throw not_made(413, "the body is above 64 KiB");
  check_instance_id(id);
  if (instances_.count(id) != 0) throw not_made(409, fmt::format("there is '{}' already", id));
  for (const auto& each : fleet_.models()) {
    if (each->name().starts_with(id + "/")) {
      throw not_made(409, fmt::format("'{}' is the beginning of a model's name", id));
    }
  }
  const auto which = std::make_shared<instance>(id, parse_instance(body), options_.folder);
  which->is_named = is_named;
  const served_options options = take_port(split_options(which->asked.options));
  which->port = options.port;
  check_port(options.port);
  std::vector<std::string> devices;
  if (!which->asked.gpu_uuids.empty()) {
    const auto gpus = find_by_uuid(fleet_.memory().devices(), which->asked.gpu_uuids);
    for (const shared_device& each : gpus) devices.push_back(each.books.name);
    const auto [name, value] = visible_devices(gpus, options_.given.visible_by_uuid, variable);
    which->asked.env_vars[name] = value;
  }
  const model_config made =
      make_instance(options_.given.instance, id, which->asked, options.words, free_port());
  std::vector<std::string> hosts;
  for (const endpoint& each : options_.listen) {
    if (std::find(hosts.begin(), hosts.end(), each.host) == hosts.end()) hosts.push_back(each.host);
  }
  try {
    which->door = std::make_unique<launcher_door>(
        io_, hosts, which->port, [this, door = "/upstream/" + id](tcp_socket socket) {
          options_.came(world_, std::move(socket), door);
        });
    which->served = fleet_.add(made, devices);
  } catch (const error& failure) {
    if (failure.code() == status::busy) throw not_made(503, failure.what(), seconds{1});
    throw not_made(409, failure.what());
  }
  const budget_preview preview = fleet_.books().preview(id);
  if (preview.outcome == plan_outcome::impossible && is_too_large(fleet_.books().snapshot(), id)) {
    fleet_.remove(which->served, false, [] {});
    throw not_made(507, fmt::format("'{}' can never fit: {}", id, preview.words));
  }
  return which;
}

void launcher::check_port(std::uint16_t port) const {
  for (const auto& [id, each] : instances_) {
    if (each->port == port && (!each->stopped || each->removing)) {
      throw not_made(409, fmt::format("port {} is that of instance '{}'", port, id));
    }
  }
  for (const auto& each : fleet_.models()) {
    if (each->config().upstream.port == port) {
      throw not_made(409, fmt::format("port {} is that of the server of '{}'", port, each->name()));
    }
  }
}

/// For the server itself: one that nobody has, and that is asked for by nobody.
std::uint16_t launcher::free_port() const {
  std::set<std::uint16_t> taken;
  for (const auto& [id, each] : instances_) taken.insert(each->port);
  for (const auto& each : fleet_.models()) taken.insert(each->config().upstream.port);
  for (const endpoint& each : options_.listen) taken.insert(each.port);
  for (std::uint32_t port = options_.given.first_port;
       port <= std::numeric_limits<std::uint16_t>::max(); ++port) {
    const auto candidate = static_cast<std::uint16_t>(port);
    if (taken.count(candidate) == 0 && is_free(io_, candidate)) return candidate;
  }
  throw not_made(503, "there is no free port", seconds{5});
}

void launcher::load(const std::shared_ptr<instance>& which) {
  const std::weak_ptr<instance> weak = which;
  which->served->acquire([this, weak](const lease&, const refusal& why, const std::string&) {
    const auto self = weak.lock();
    if (!self || !self->served || self->removing || self->stopped) return;
    if (why.words.empty()) {
      self->was_ready = true;
      return;
    }
    // What was started is told when it has ended.
    if (self->served->look().is == model::phase::leaving) return;
    self->reason = why.words;
    stopped(self, {});
  });
}

void launcher::ended(model& which, const std::optional<exit_status>& how) {
  const auto found = find(which.name());
  if (!found || found->served.get() != &which || found->removing || found->stopped) return;
  found->reason = which.look().last_error;
  stopped(found, how);
}

/// It is not started again; what it wrote is kept until it is deleted.
void launcher::stopped(const std::shared_ptr<instance>& which,
                       const std::optional<exit_status>& how) {
  which->stopped = true;
  which->exit_code = python_code(how);
  which->revision = events_.next_revision();
  put_away(which);
  events_.publish("STOPPED", state_of(*which));
}

void launcher::remove(const std::shared_ptr<instance>& which,
                      std::function<void(const answer&)> told) {
  which->told.push_back(std::move(told));
  if (std::exchange(which->removing, true)) return;
  if (!which->served) return removed(which);
  if (!which->stopped) put_away(which);
}

/// Whoever is served by it is broken off.
void launcher::put_away(const std::shared_ptr<instance>& which) {
  which->door.reset();
  which->served->refuse_from_now(
      {503,
       fmt::format("instance '{}' is {}", which->id, which->stopped ? "stopped" : "deleted"),
       {}});
  const auto done = [this, which](const std::optional<refusal>& why) {
    if (!why) return take_from_fleet(which);
    // It is on its way elsewhere, which ends.
    const auto timer = std::make_shared<steady_timer>(io_.get_executor());
    timer->expires_after(std::chrono::milliseconds{50});
    timer->async_wait([this, which, timer](error_code failed) {
      if (!failed) put_away(which);
    });
  };
  which->served->stop_now(done);
}

void launcher::take_from_fleet(const std::shared_ptr<instance>& which) {
  fleet_.remove(which->served, !which->is_named, [this, which] {
    which->served.reset();
    if (which->removing) removed(which);
  });
}

void launcher::removed(const std::shared_ptr<instance>& which) {
  which->stopped = true;
  which->revision = events_.next_revision();
  instances_.erase(which->id);
  const json state = state_of(*which);
  events_.publish("DELETED", state);
  for (const auto& tell : std::exchange(which->told, {})) tell(json_answer(state));
}

void launcher::remove_all(const reply& to) {
  const auto all = instances_;
  const auto left = std::make_shared<std::size_t>(all.size() + 1);
  const auto states = std::make_shared<json>(json::array());
  const auto done = [to, left, states] {
    if (--*left > 0) return;
    const std::size_t count = states->size();
    to(json_answer({{"status", "all_stopped"},
                    {"stopped_instances", std::move(*states)},
                    {"total_stopped", count}}));
  };
  for (const auto& [id, which] : all) {
    remove(which, [states, done](const answer& made) {
      states->push_back(json::parse(made.body));
      done();
    });
  }
  done();
}

void launcher::close_doors() {
  for (const auto& [id, each] : instances_) each->door.reset();
}

}  // namespace lull::serve
