#ifndef TESTS_UNIT_BUDGET_WORLD_HPP
#define TESTS_UNIT_BUDGET_WORLD_HPP

#include <lull/budget.hpp>
#include <lull/bytes.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace lull::test {

/// Devices, other programs and models in virtual time, with a budget over them. One thread; what
/// the budget wants done happens when its time has come.
class budget_world {
 public:
  struct model {
    bytes_by_device really;  ///< what it takes when it is loaded, whatever the budget believes
    duration load_time = std::chrono::seconds(2);
    duration leave_time = std::chrono::seconds(1);
    bytes_by_device holds = {};  ///< now
    bool in = false;
    int evictions = 0;
  };

  explicit budget_world(std::vector<budget_device> devices, budget_options options = {})
      : devices_(std::move(devices)) {
    options.devices = devices_;
    options.time = &time;
    options.evict = [this](const budget_eviction& what) { evict(what); };
    options.probe = [this] { return readings(); };
    // A callback may take its time: it begins now and is asked for its end later.
    options.run_on = [this](std::function<void()> job) {
      const auto number = next_job_++;
      jobs_[number] = std::move(job);
      at(time.now() + leave_time, [this, number] { run_job(number); });
    };
    make(std::move(options));
  }

  /// A budget waits for what it wanted done.
  ~budget_world() {
    check = false;
    on_evict.clear();
    while (!jobs_.empty()) run_job(jobs_.begin()->first);
  }
  budget_world(const budget_world&) = delete;
  budget_world& operator=(const budget_world&) = delete;

  void make(budget_options options) { budget_.emplace(std::move(options)); }
  lull::budget& budget() { return *budget_; }

  void add(budget_model given, std::optional<bytes_by_device> really = {}) {
    models[given.name].really = really ? *really : given.need;
    levels_[given.name] = given.levels;
    budget_->add(std::move(given));
  }
  /// On GPU0.
  void add(const std::string& name, std::uint64_t bytes) { add({name, {{"GPU0", bytes}}}); }

  void at(time_point when, std::function<void()> what) {
    events_.emplace(std::pair(when, number_++), std::move(what));
  }
  void in(duration span, std::function<void()> what) { at(time.now() + span, std::move(what)); }

  /// Lets time pass, and what is due happen.
  void pass(duration span) {
    const time_point end = time.now() + span;
    while (true) {
      const time_point tick = budget_->next_tick();
      const time_point event = events_.empty() ? no_deadline : events_.begin()->first.first;
      const time_point next = std::min(tick, event);
      if (next > end) break;
      if (next > time.now()) time.advance(next - time.now());
      if (event <= tick) {
        const auto what = std::move(events_.begin()->second);
        events_.erase(events_.begin());
        what();
      } else {
        budget_->tick();
      }
    }
    if (end > time.now()) time.advance(end - time.now());
  }

  /// One that wants a model, loads it if it has to, works, and goes.
  struct client {
    std::string model;
    bool answered = false;
    bool loaded = false;
    std::optional<error> failure{};
    time_point asked{};
    time_point got{};
    budget_ticket ticket{};
  };
  using client_ptr = std::shared_ptr<client>;

  /// @param work how long it works; absent: it keeps its ticket
  client_ptr ask(const std::string& name, std::optional<duration> work = {},
                 time_point deadline = no_deadline) {
    auto who = std::make_shared<client>();
    who->model = name;
    who->asked = time.now();
    budget_->admit_async(name, deadline, [this, who, work](lull::budget::admission result) {
      EXPECT_FALSE(who->answered || who->failure) << "told twice";
      who->failure = result.failure;
      who->got = time.now();
      if (!result.failure) begin(who, std::move(result.ticket), work);
    });
    return who;
  }

  /// A client that has its model ready and keeps its ticket.
  client_ptr hold(const std::string& name) {
    auto who = ask(name);
    pass(std::chrono::seconds(10));
    EXPECT_TRUE(who->answered) << name;
    return who;
  }
  void load(const std::string& name) { hold(name)->ticket.release(); }

  budget_model_snapshot look(const std::string& name) {
    for (auto& each : budget_->snapshot().models) {
      if (each.name == name) return each;
    }
    ADD_FAILURE() << "no model " << name;
    return {};
  }
  model_state state(const std::string& name) { return look(name).state; }
  budget_counters counters() { return budget_->snapshot().counters; }

  std::uint64_t used_by_models(const std::string& device) const {
    std::uint64_t sum = 0;
    for (const auto& [name, each] : models) {
      const auto held = each.holds.find(device);
      if (held != each.holds.end()) sum += held->second;
    }
    return sum;
  }

  /// That nobody is beyond a limit now. Where estimates may be wrong, `tolerated` says by how much.
  void check_limits() {
    for (const auto& device : devices_) {
      const std::uint64_t used = used_by_models(device.name) + foreign[device.name];
      const auto limit = device.capacity_bytes - device.margin_bytes;
      if (used > limit + tolerated) {
        ADD_FAILURE() << device.name << " has " << used << " of " << limit;
      }
    }
  }

  manual_clock time;
  std::map<std::string, model> models;
  std::map<std::string, std::uint64_t> foreign;
  std::uint64_t tolerated = 0;
  bool check = true;
  duration leave_time = std::chrono::seconds(1);
  /// What an eviction does besides, by the model's name: throw, for example.
  std::map<std::string, std::function<void()>> on_evict;
  /// Models of which the memory does not come back when they leave.
  std::set<std::string> leaky;
  std::set<std::string> failing_loads;
  /// Models that ended by themselves, and may leave with work under way.
  std::set<std::string> crashed;
  std::vector<std::string> log;
  std::vector<std::string> reasons;  ///< of evictions

 private:
  void run_job(std::uint64_t number) {
    const auto found = jobs_.find(number);
    const auto job = std::move(found->second);
    jobs_.erase(found);
    job();
  }

  void begin(const client_ptr& who, budget_ticket ticket, std::optional<duration> work) {
    model& wanted = models[who->model];
    who->ticket = std::move(ticket);
    if (!who->ticket.must_load()) {
      EXPECT_TRUE(wanted.in) << who->model << " was promised and is not in";
      return answered(who, work);
    }
    EXPECT_FALSE(wanted.in) << who->model << " is loaded twice";
    wanted.in = true;
    who->loaded = true;
    const bytes_by_device before = wanted.holds;
    wanted.holds = wanted.really;
    if (check) check_limits();
    in(wanted.load_time, [this, who, work, before] {
      model& loaded = models[who->model];
      if (failing_loads.count(who->model) != 0) {
        loaded.in = false;
        loaded.holds = before;
        who->failure = error(status::backend, "cannot load");
        return who->ticket.release();
      }
      who->ticket.confirm(loaded.holds);
      answered(who, work);
    });
  }

  void answered(const client_ptr& who, std::optional<duration> work) {
    who->answered = true;
    if (work) in(*work, [who] { who->ticket.release(); });
  }

  void evict(const budget_eviction& what) {
    model& leaver = models[what.model];
    const auto snapshot = look(what.model);
    EXPECT_EQ(snapshot.state, model_state::leaving);
    if (crashed.count(what.model) == 0) {
      EXPECT_EQ(snapshot.leases, 0U) << what.model << " is busy and has to leave";
    }
    if (const auto special = on_evict.find(what.model); special != on_evict.end()) {
      special->second();
    }
    log.push_back(what.model + " " + what.level);
    reasons.push_back(what.why);
    ++leaver.evictions;
    leaver.in = false;
    if (leaky.count(what.model) != 0) {
      for (const auto& [device, bytes] : leaver.holds) foreign[device] += bytes;
    }
    const bool deepest = what.depth + 1 == levels_[what.model].size();
    const auto before = std::exchange(leaver.holds, levels_[what.model][what.depth].left);
    for (auto& [device, bytes] : leaver.holds) {
      const auto held = before.find(device);
      if (deepest) bytes = std::min(bytes, held == before.end() ? 0 : held->second);
    }
    if (check) check_limits();
  }

  std::vector<budget_reading> readings() {
    std::vector<budget_reading> list;
    for (const auto& device : devices_) {
      list.push_back({device.name, used_by_models(device.name) + foreign[device.name]});
    }
    return list;
  }

  std::vector<budget_device> devices_;
  std::map<std::string, std::vector<budget_level>> levels_;
  std::map<std::pair<time_point, std::uint64_t>, std::function<void()>> events_;
  std::map<std::uint64_t, std::function<void()>> jobs_;
  std::uint64_t number_ = 0;
  std::uint64_t next_job_ = 0;
  std::optional<lull::budget> budget_;
};

}  // namespace lull::test

#endif  // TESTS_UNIT_BUDGET_WORLD_HPP
