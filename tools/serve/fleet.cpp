#include "fleet.hpp"

#include <lull/error.hpp>
#include <lull/process.hpp>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <set>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace lull::serve {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// A group whose members come one at a time is a device with room for one of them.
std::string device_of(const group_config& group) {
  return "group " + group.name;
}

bool has(const group_config& group, const std::string& name) {
  return std::find(group.members.begin(), group.members.end(), name) != group.members.end();
}

std::vector<budget_device> book_devices(const holdings& memory, const config& given) {
  std::vector<budget_device> devices;
  for (const shared_device& each : memory.devices()) devices.push_back(each.books);
  for (const group_config& group : given.groups) {
    if (group.swap) devices.push_back({device_of(group), 1, 0, 0});
  }
  return devices;
}

/// For a model of which nobody has said what it needs: the size of the file that it is started
/// with, and some more. It is put right when it has been loaded once.
/// @param devices among which the file is divided
std::uint64_t guessed_bytes(const model_config& model, std::size_t devices = 1) {
  constexpr std::uint64_t more = std::uint64_t{512} << 20;
  std::uint64_t files = 0;
  for (std::size_t word = 1; word < model.command.size(); ++word) {
    std::error_code failed;
    const std::filesystem::path path = model.command[word];
    if (std::filesystem::is_regular_file(path, failed)) {
      files += std::filesystem::file_size(path, failed);
    }
  }
  return (files + files / 8) / devices + more;
}

}  // namespace

fleet::fleet(net::io_context& io, const config& given, std::filesystem::path state_folder,
             log_book& logs, log_sink log)
    : io_(io),
      config_(given),
      pid_folder_(state_folder / "children"),
      memory_(
          find_devices(given, registry::shared()), [this] { return children(); }, log),
      around_{io, threads_, logs, log, releases_},
      timer_(io.get_executor()) {
  around_.memory = &memory_;
  around_.pid_folder = pid_folder_;
  around_.changed = [this] {
    if (std::exchange(change_told_, true)) return;
    net::post(io_, [this] {
      change_told_ = false;
      if (changed_) changed_();
    });
  };
  around_.make_way = [this](model& comer, std::function<void()> then) { make_way(comer, then); };
  end_orphans();
  budget_options options;
  options.devices = book_devices(memory_, given);
  options.max_wait = given.fair_wait;
  options.estimates_file = (state_folder / "estimates").string();
  options.log = around_.log;
  options.probe = [this] { return read_devices(); };
  options.evict = [this](const budget_eviction& what) {
    std::shared_ptr<model> leaver;
    {
      const std::lock_guard lock(mutex_);
      const auto found = by_name_.find(what.model);
      if (found != by_name_.end()) leaver = found->second;
    }
    if (leaver) leaver->evict(what.depth);
  };
  if (!memory_.gpus().empty()) {
    options.settle = [this](const std::vector<settle_expectation>& expected) {
      settle_options how;
      how.releases = &releases_;
      how.expected = expected;
      static_cast<void>(settle(memory_.gpus(), how));
    };
  }
  books_ = std::make_unique<lull::budget>(std::move(options));
  around_.books = books_.get();
  for (const model_config& each : given.models) add(each, given);
  set_names(given);
}

fleet::~fleet() {
  threads_.wait();
  books_.reset();
}

void fleet::end_orphans() {
  std::vector<std::thread> enders;
  for (const orphan& each : find_orphans(pid_folder_, around_.log)) {
    around_.log.write(log_level::warning,
                      fmt::format("ending process {} ({}), which another router has left behind",
                                  each.id, each.command));
    enders.emplace_back([each, log = around_.log, this] {
      try {
        orphan_options options;
        options.stopping.grace = seconds{5};
        options.on_release = mark_on_release(releases_);
        options.log = log;
        stop_orphan(each, options);
      } catch (const error& failure) {
        log.write(log_level::error, failure.what());
      }
    });
  }
  for (std::thread& each : enders) each.join();
}

budget_model fleet::booked(const model_config& which, const config& all) const {
  budget_model made = model::for_books(which, memory_);
  const auto& devices = memory_.devices();
  const auto gpu = std::find_if(devices.begin(), devices.end(),
                                [](const shared_device& each) { return each.gpu.has_value(); });
  const shared_device& first = gpu == devices.end() ? devices.front() : *gpu;
  if (made.need.empty() && which.memory_anywhere) {
    made.need[first.books.name] = *which.memory_anywhere;
  }
  if (made.need.empty()) {
    made.need[first.books.name] = guessed_bytes(which);
    around_.log.write(log_level::info,
                      fmt::format("{}: 'memory' is not given; {} MiB until it was loaded once",
                                  which.name, made.need[first.books.name] >> 20));
  }
  for (const group_config& group : all.groups) {
    if (group.swap && has(group, which.name)) made.need[device_of(group)] = 1;
  }
  return made;
}

void fleet::add(const model_config& given, const config& all) {
  const auto made = std::make_shared<model>(given, around_);
  books_->add(booked(given, all));
  models_.push_back(made);
}

std::shared_ptr<model> fleet::add(model_config given, const std::vector<std::string>& devices) {
  if (by_name_.count(given.name) != 0) {
    if (find(given.name)) {
      throw error(status::invalid_argument,
                  fmt::format("there is a model '{}' already", given.name));
    }
    throw error(status::busy, fmt::format("what '{}' held is being given back", given.name));
  }
  if (!devices.empty()) {
    const std::uint64_t each = given.memory_anywhere.value_or(guessed_bytes(given, devices.size()));
    for (const std::string& device : devices) given.memory[device] = each;
  }
  const auto made = std::make_shared<model>(given, around_);
  const budget_model books = booked(given, config_);
  books_->add(books);
  // Of a name that was on other devices nothing is known.
  for (const budget_model_snapshot& known : books_->snapshot().models) {
    if (known.name != given.name || devices.empty()) continue;
    for (const auto& [device, bytes] : known.estimate) {
      if (bytes == 0 || given.memory.count(device) != 0) continue;
      forget_measured(books);
      break;
    }
  }
  models_.push_back(made);
  added_.push_back(made);
  set_names(config_);
  around_.changed();
  return made;
}

void fleet::remove(const std::shared_ptr<model>& which, bool forget, std::function<void()> gone) {
  const auto erase = [&](std::vector<std::shared_ptr<model>>& from) {
    from.erase(std::remove(from.begin(), from.end(), which), from.end());
  };
  erase(models_);
  erase(added_);
  retired_.push_back(which);
  removals_[which.get()] = {forget, std::move(gone)};
  set_names(config_);
  around_.changed();
}

/// Another need makes the books forget what was measured.
void fleet::forget_measured(budget_model which) {
  for (auto& [device, bytes] : which.need) ++bytes;
  books_->change(std::move(which));
}

void fleet::set_names(const config& given) {
  std::map<std::string, std::shared_ptr<model>> names;
  for (const auto& each : models_) {
    names[each->name()] = each;
    for (const std::string& alias : each->config().aliases) names[alias] = each;
    for (const std::string& alias : each->config().unlisted_aliases) names[alias] = each;
  }
  for (const auto& each : retired_) names.emplace(each->name(), each);
  const std::lock_guard lock(mutex_);
  by_name_ = std::move(names);
  config_ = given;
}

std::shared_ptr<model> fleet::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return nullptr;
  const auto& retired = retired_;
  if (std::find(retired.begin(), retired.end(), found->second) != retired.end()) return nullptr;
  return found->second;
}

void fleet::start() {
  for (const auto& each : models_) {
    if (!each->config().preload) continue;
    ++preloads_left_;
    each->acquire([this](lease, const refusal&, const std::string&) { --preloads_left_; });
  }
  tick();
}

/// The models of other groups leave for one of an exclusive group, unless their group is to stay.
void fleet::make_way(model& comer, const std::function<void()>& then) {
  const group_config* own = nullptr;
  for (const group_config& each : config_.groups) {
    if (has(each, comer.name())) own = &each;
  }
  if (own == nullptr || !own->exclusive) return then();
  const auto left = std::make_shared<std::size_t>(1);
  const auto done = [left, then](const std::optional<refusal>&) {
    if (--*left == 0) then();
  };
  for (const group_config& each : config_.groups) {
    if (&each == own || each.persistent) continue;
    for (const std::string& name : each.members) {
      const auto other = find(name);
      if (!other) continue;
      ++*left;
      other->put_away(other->deepest(), true, done);
    }
  }
  done({});
}

void fleet::tick() {
  if (closed_) return;
  const time_point now = steady_clock().now();
  {
    std::vector<int> ids;
    for (const auto* const all : {&models_, &retired_}) {
      for (const auto& each : *all) {
        if (const int id = each->look().pid; id > 0) ids.push_back(id);
      }
    }
    const std::lock_guard lock(mutex_);
    children_ = std::move(ids);
  }
  if (!retired_.empty()) collect_retired();
  books_->tick();
  const budget_snapshot seen = books_->snapshot();
  for (const budget_model_snapshot& each : seen.models) {
    const auto found = by_name_.find(each.name);
    if (found != by_name_.end()) found->second->tick(now, each);
  }
  if (now - refreshed_ > seconds{1} && !refreshing_) refresh();
  timer_.expires_after(milliseconds{100});
  timer_.async_wait([this](error_code failed) {
    if (!failed) tick();
  });
}

/// Other programs may have taken what was free.
void fleet::refresh() {
  refreshing_ = true;
  forget_retired();
  std::map<int, std::shared_ptr<model>> serving;
  for (const auto& each : models_) {
    const model::view seen = each->look();
    if (seen.is == model::phase::ready && seen.pid > 0) serving[seen.pid] = each;
  }
  threads_.run([this, serving = std::move(serving)] {
    std::vector<int> servers;
    for (const auto& [id, which] : serving) servers.push_back(id);
    auto held = memory_.of_each(servers);
    books_->refresh();
    net::post(io_, [this, serving, held = std::move(held)] {
      const budget_snapshot books = books_->snapshot();
      for (const auto& [id, which] : serving) {
        if (const auto found = held.find(id); found != held.end()) {
          which->seen_at_work(id, found->second, books);
        }
      }
      refreshing_ = false;
      refreshed_ = steady_clock().now();
      around_.changed();
    });
  });
}

std::vector<int> fleet::children() const {
  const std::lock_guard lock(mutex_);
  return children_;
}

std::vector<budget_reading> fleet::read_devices() {
  std::vector<budget_reading> readings = memory_.used();
  const std::lock_guard lock(mutex_);
  for (const budget_reading& each : readings) used_[each.device] = each.used_bytes;
  return readings;
}

std::map<std::string, std::uint64_t> fleet::used() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

/// A model of the configuration: the one that there is, changed, or a new one.
std::shared_ptr<model> fleet::reconfigured(const model_config& given,
                                           std::vector<std::string>& kept) {
  const auto same = [&](const auto& known) { return known->name() == given.name; };
  std::shared_ptr<model> which;
  if (const auto known = std::find_if(models_.begin(), models_.end(), same);
      known != models_.end()) {
    which = *known;
  } else if (const auto back = std::find_if(retired_.begin(), retired_.end(), same);
             back != retired_.end()) {
    which = *back;
    retired_.erase(back);
  }
  try {
    if (!which) {
      which = std::make_shared<model>(given, around_);
      books_->add(booked(given, config_));
      return which;
    }
    books_->change(booked(given, config_));
  } catch (const error& failure) {
    kept.push_back(fmt::format("models.{}: {}", given.name, failure.what()));
    const auto& known = models_;
    if (std::find(known.begin(), known.end(), which) == known.end()) {
      if (which) retired_.push_back(which);
      return nullptr;
    }
    static_cast<void>(which->reconfigure(given, false));
    return which;
  }
  if (which->reconfigure(given, true)) {
    kept.push_back(fmt::format("models.{}.proxy takes a restart", given.name));
  }
  return which;
}

std::vector<std::string> fleet::reconfigure(const config& given) {
  std::vector<std::string> kept;
  if (given.devices != config_.devices || given.margin_bytes != config_.margin_bytes) {
    kept.emplace_back("devices and margins take a restart");
  }
  if (given.groups != config_.groups) kept.emplace_back("groups take a restart");
  std::vector<std::shared_ptr<model>> next;
  for (const model_config& each : given.models) {
    const auto is_same = [&](const auto& known) { return known->name() == each.name; };
    if (std::any_of(added_.begin(), added_.end(), is_same)) {
      kept.push_back(fmt::format("models.{}: an instance has this name", each.name));
    } else if (auto which = reconfigured(each, kept)) {
      next.push_back(std::move(which));
    }
  }
  next.insert(next.end(), added_.begin(), added_.end());
  std::vector<std::shared_ptr<model>> left;
  for (const auto& each : models_) {
    if (std::find(next.begin(), next.end(), each) == next.end()) left.push_back(each);
  }
  models_ = std::move(next);
  retire(std::move(left));
  config applied = given;
  applied.devices = config_.devices;
  applied.groups = config_.groups;
  set_names(applied);
  around_.changed();
  return kept;
}

/// They get no new requests, and end when those that they have are answered.
void fleet::retire(std::vector<std::shared_ptr<model>> left) {
  retired_.insert(retired_.end(), left.begin(), left.end());
  forget_retired();
}

void fleet::forget_retired() {
  for (const auto& each : retired_) {
    each->put_away(each->deepest(), false, [](const std::optional<refusal>&) {});
  }
  collect_retired();
}

void fleet::collect_retired() {
  const auto is_gone = [this](const std::shared_ptr<model>& each) {
    const model::phase is = each->look().is;
    if (is != model::phase::stopped && is != model::phase::failed) return false;
    const auto removed = removals_.find(each.get());
    try {
      if (removed != removals_.end() && removed->second.forget) {
        forget_measured(booked(each->config(), config_));
        removed->second.forget = false;
      }
      books_->remove(each->name());
      return true;
    } catch (const error&) {  // what it held is still waited for
      return false;
    }
  };
  const auto gone = std::stable_partition(retired_.begin(), retired_.end(),
                                          [&](const auto& each) { return !is_gone(each); });
  if (gone == retired_.end()) return;
  std::vector<std::function<void()>> told;
  for (auto each = gone; each != retired_.end(); ++each) {
    const auto removed = removals_.find(each->get());
    if (removed == removals_.end()) continue;
    told.push_back(std::move(removed->second.gone));
    removals_.erase(removed);
  }
  retired_.erase(gone, retired_.end());
  set_names(config_);
  for (const auto& tell : told) tell();
}

void fleet::hurry(time_point by) {
  around_.stop_by = std::min(around_.stop_by, by);
  for (const auto& each : models_) each->hurry();
  for (const auto& each : retired_) each->hurry();
}

void fleet::close(time_point by, std::function<void()> done) {
  closed_ = true;
  around_.stop_by = by;
  timer_.cancel();
  const auto left = std::make_shared<std::size_t>(1);
  const auto one = [this, left, done = std::move(done)] {
    if (--*left > 0) return;
    // Evictions that are under way need this thread to come to their end.
    around_.ending.request_stop();
    std::thread([this, done] {
      threads_.wait();
      books_.reset();
      net::post(io_, done);
    }).detach();
  };
  std::vector<std::shared_ptr<model>> all = models_;
  all.insert(all.end(), retired_.begin(), retired_.end());
  for (const auto& each : all) {
    ++*left;
    each->close(one);
  }
  one();
}

}  // namespace lull::serve
