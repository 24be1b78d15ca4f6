#include "server/models.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "http/request.hpp"

namespace example {
namespace {

using namespace lull::literals;
using nlohmann::json;

// Other devices of the budget, beside the one of the models.
constexpr const char* host_memory = "host memory";
constexpr const char* places = "places of --models-max";  // a model takes one "byte"

constexpr std::chrono::seconds look_every{5};
constexpr std::size_t most_remembered = 32;
// A platform that hangs is not waited for.
constexpr std::chrono::milliseconds look_limit{500};

std::vector<lull::budget_reading> read(const lull::device& device) {
  const lull::memory_info seen = device.memory(look_limit);
  if (!seen.total_bytes || !seen.free_bytes) return {};
  return {{device.name(), *seen.total_bytes - *seen.free_bytes}};
}

/// What a platform that hangs or is silent does not tell bounds nothing.
std::uint64_t capacity_of(const lull::device& device) {
  try {
    if (const auto total = device.memory(look_limit).total_bytes) return *total;
  } catch (const lull::error&) {
  }
  return std::numeric_limits<std::int64_t>::max();
}

}  // namespace

models::models(const lull::device& device, const models_options& options)
    : shared_{device, releases_, lull::host_arena({.log = options.log})} {
  for (const model_file& each : options.files) {
    try {
      all_.push_back(std::make_unique<served_model>(each, shared_, options));
    } catch (...) {
      options.log.write(lull::log_level::error,
                        fmt::format("model '{}' ({}):", each.name, each.path.string()));
      throw;
    }
  }
  budget_.emplace(budget_options_from(options));
  for (const auto& each : all_) budget_->add(place_of(*each, options));
  keeper_ = std::jthread([this](const std::stop_token& stop) { keep_time(stop); });
}

models::~models() {
  keeper_ = {};
  close();
  budget_.reset();
  all_.clear();  // who still waits for a lease is told
}

void models::close() {
  for (const auto& each : all_) each->loop().close();
}

lull::budget_options models::budget_options_from(const models_options& options) {
  const std::uint64_t margin = options.memory_margin.value_or(all_.size() == 1 ? 0 : 1_GiB);
  lull::budget_options result;
  result.devices = {{device().name(), capacity_of(device()), margin}};
  if (device().type() != lull::device_type::host) {
    result.devices.push_back({host_memory, shared_.arena.info().budget_bytes, 0});
  }
  if (options.most_loaded) result.devices.push_back({places, *options.most_loaded, 0});
  result.evict = [this](const lull::budget_eviction& what) { evict(what); };
  result.settle = [this](const auto&) {
    // The sleep that released it has said how much comes back.
    static_cast<void>(lull::settle({device()}, {.releases = &releases_}));
  };
  result.probe = [this] { return read(device()); };
  result.log = options.log;
  return result;
}

/// What a model needs, and how it can be put away: by the levels that it sleeps by, and in the end
/// without its contents.
lull::budget_model models::place_of(const served_model& which,
                                    const models_options& options) const {
  lull::budget_model result;
  result.name = which.name();
  result.need = {{device().name(), which.engine().estimated_bytes()}};
  if (options.most_loaded) result.need[places] = 1;
  const bool to_host = device().type() != lull::device_type::host && !options.offload_directory;
  result.levels.clear();
  for (const lull::sleep_level level : options.levels()) {
    // The one gives up too little, the other takes all models with it.
    if (level == lull::sleep_level::trim || level == lull::sleep_level::rebirth) continue;
    lull::budget_level entry{std::string(to_string(level))};
    if (level == lull::sleep_level::offload && to_host) {
      entry.left = {{host_memory, which.engine().facts().bytes}};
    }
    result.levels.push_back(std::move(entry));
  }
  if (result.levels.empty() || result.levels.back().name == "offload") {
    result.levels.push_back({"discard"});
  }
  return result;
}

served_model& models::named(std::string_view name) const {
  if (name.empty() || all_.size() == 1) return *all_.front();
  std::vector<std::string> names;
  for (const auto& each : all_) {
    if (each->name() == name) return *each;
    names.push_back(each->name());
  }
  throw http::refusal(
      404, fmt::format("there is no model '{}'; there is {}", name, fmt::join(names, ", ")));
}

void models::acquire(served_model& which, const lull::acquire_options& how,
                     std::function<void(outcome)> done) {
  const auto with_room = [this, &which, how, done](lull::budget::admission got) {
    if (got.failure) return done(*got.failure);
    const auto room = std::make_shared<lull::budget_ticket>(std::move(got.ticket));
    const auto with_lease = [this, &which, room, done](lull::sleeper::acquire_result woken) {
      if (const auto* const failure = std::get_if<lull::error>(&woken)) return done(*failure);
      if (room->must_load()) {
        lull::bytes_by_device holds = room->granted();
        holds[device().name()] = which.engine().held_bytes();
        room->confirm(holds);
        ring(true);  // the first model of all brought the device's context too
      }
      done(permit{std::move(*room), std::get<lull::sleeper::lease>(std::move(woken))});
    };
    try {
      which.sleeper().acquire_async(how, with_lease);
    } catch (const lull::error& failure) {
      done(failure);
    }
  };
  budget_->admit_async(which.name(), how.deadline, with_room, how.stop);
  if (budget_->next_tick() != lull::no_deadline) ring(false);
}

/// Wakes the keeper, for a look at the device too, or to count the time that somebody waits.
void models::ring(bool look) {
  const std::lock_guard lock(mutex_);
  rung_ = true;
  look_ = look_ || look;
  bell_.notify_all();
}

void models::evict(const lull::budget_eviction& what) {
  put_away event{what, std::chrono::system_clock::now(), {}};
  served_model& which = named(what.model);
  const auto remember = [&] {
    const std::lock_guard lock(mutex_);
    put_away_.push_back(event);
    if (put_away_.size() > most_remembered) put_away_.pop_front();
  };
  try {
    which.sleep(which.plan_of(lull::parse_sleep_level(what.level)));
  } catch (const lull::error& failure) {
    event.failure = failure.what();
    remember();
    throw;
  }
  remember();
}

nlohmann::json models::describe() const {
  const lull::budget_snapshot seen = budget_->snapshot();
  json data = json::array();
  for (std::size_t i = 0; i < all_.size(); ++i) {
    const served_model& each = *all_[i];
    const lull::budget_model_snapshot& place = seen.models[i];
    const model_facts facts = each.engine().facts();
    data.push_back({{"id", each.name()},
                    {"object", "model"},
                    {"owned_by", "lull"},
                    {"status", each.status()},
                    {"meta", {{"n_tensors", facts.tensors}, {"size", facts.bytes}}},
                    {"holds_bytes", each.engine().held_bytes()},
                    {"estimated_bytes", on_device(place.estimate)},
                    {"measured", place.measured},
                    {"waiting", place.waiting}});
  }
  json events = json::array();
  const std::lock_guard lock(mutex_);
  for (const put_away& each : put_away_) {
    events.push_back({{"model", each.what.model},
                      {"level", each.what.level},
                      {"freed_bytes", on_device(each.what.gain)},
                      {"why", each.what.why},
                      {"at", std::chrono::system_clock::to_time_t(each.when)}});
    if (!each.failure.empty()) events.back()["failure"] = each.failure;
  }
  const lull::budget_device_snapshot& where = seen.devices.front();
  return {{"object", "list"},
          {"data", data},
          {"put_to_sleep", events},
          {"device",
           {{"name", where.name},
            {"capacity_bytes", where.capacity_bytes},
            {"margin_bytes", where.margin_bytes},
            {"others_hold_bytes", where.foreign_bytes},
            {"models_hold_bytes", where.held_bytes}}}};
}

std::uint64_t models::on_device(const lull::bytes_by_device& all) const {
  const auto found = all.find(device().name());
  return found == all.end() ? 0 : found->second;
}

/// The budget has no thread: somebody has to tell it that time passes, and that other programs may
/// have taken what was free.
void models::keep_time(const std::stop_token& stop) {
  const lull::clock& clock = lull::steady_clock();
  lull::time_point next_look = clock.deadline_in(look_every);
  while (!stop.stop_requested()) {
    const lull::time_point next = std::min(budget_->next_tick(), next_look);
    bool look = false;
    {
      std::unique_lock lock(mutex_);
      bell_.wait_until(lock, stop, next, [this] { return std::exchange(rung_, false); });
      look = std::exchange(look_, false) || clock.now() >= next_look;
    }
    if (!look) {
      budget_->tick();
      continue;
    }
    budget_->refresh();
    next_look = clock.deadline_in(look_every);
  }
}

}  // namespace example
