#include "fleet/whole_gpu.hpp"

#include <algorithm>
#include <deque>
#include <utility>

namespace bench::fleet {
namespace {

class turns {
 public:
  turns(const node_load& load, sleeper_rule& rule)
      : load_(load), rule_(rule), models_(load.models.size()), books_(on_, load) {}

  outcome run() {
    on_.run(
        load_.requests, [this](const fleet_request& what) { ask(what); },
        [] { return lull::no_deadline; }, [] {});
    outcome result = books_.close();
    result.room_bytes = rule_.room(result.sleeper_bytes);
    return result;
  }

 private:
  enum class where : std::uint8_t { gone, asleep, here };
  enum class phase : std::uint8_t { free, making_room, starting, ready, stuck, leaving };
  struct waiting {
    const fleet_request* what;
    std::uint64_t number;
  };
  struct model {
    where state = where::gone;
    std::size_t working = 0;
    bool queued = false;
    lull::duration queued_at{};
    std::vector<waiting> waits{};
  };

  [[nodiscard]] node_view view() const {
    return {load_.models, load_.host_bytes - host_margin_bytes, asleep_, on_.since_start()};
  }

  void ask(const fleet_request& what) {
    model& wanted = models_[what.model];
    if (!rule_.can_ever_run(load_.models[what.model])) {
      return books_.refused(what, refusal::never_fits);
    }
    const bool has_gpu = phase_ != phase::free && current_ == what.model;
    if (has_gpu && phase_ == phase::ready && !draining_) {
      return serve(what, path::awake);
    }
    const std::uint64_t number = number_++;
    wanted.waits.push_back({&what, number});
    on_.in(patience, [this, index = what.model, number] { lose(index, number); });
    if (!has_gpu || phase_ == phase::leaving || draining_) enqueue(what.model);
    proceed();
  }

  void enqueue(std::size_t index) {
    model& wanted = models_[index];
    if (std::exchange(wanted.queued, true)) return;
    wanted.queued_at = on_.since_start();
    queue_.push_back(index);
    on_.in(longest_turn, [this] { proceed(); });
  }

  /// Who asked has gone.
  void lose(std::size_t index, std::uint64_t number) {
    auto& waits = models_[index].waits;
    const auto found = std::find_if(waits.begin(), waits.end(),
                                    [&](const waiting& each) { return each.number == number; });
    if (found == waits.end()) return;
    const fleet_request& what = *found->what;
    waits.erase(found);
    books_.refused(what,
                   phase_ == phase::stuck && current_ == index ? stuck_by_ : refusal::no_turn);
    proceed();
  }

  void serve(const fleet_request& what, path how) {
    books_.answered(what, how);
    ++models_[what.model].working;
    on_.in(what.work, [this, index = what.model] {
      --models_[index].working;
      proceed();
    });
  }

  void proceed() {
    while (!queue_.empty() && models_[queue_.front()].waits.empty()) {
      models_[queue_.front()].queued = false;
      queue_.pop_front();
    }
    if (phase_ == phase::stuck && models_[current_].waits.empty()) phase_ = phase::free;
    if (phase_ == phase::free && !queue_.empty()) return begin();
    if (phase_ != phase::ready) return;
    // Those for whom it was to leave have gone.
    if (queue_.empty() || queue_.front() == current_) return go_on();
    if (models_[current_].working == 0) return leave();
    draining_ |= on_.since_start() >= models_[queue_.front()].queued_at + longest_turn;
  }

  void go_on() {
    draining_ = false;
    if (queue_.empty()) return;
    queue_.pop_front();
    models_[current_].queued = false;
    for (const waiting& each : std::exchange(models_[current_].waits, {})) {
      serve(*each.what, path::awake);
    }
    proceed();
  }

  /// Gives the GPU to the model that waits for longest.
  void begin() {
    current_ = queue_.front();
    queue_.pop_front();
    models_[current_].queued = false;
    const bool sleeps = models_[current_].state == where::asleep;
    const auto gone =
        sleeps ? rule_.before_wake(view(), current_) : rule_.before_start(view(), current_);
    phase_ = phase::making_room;
    end_all(gone, [this, sleeps] { sleeps ? wake() : start(); });
  }

  void end_all(const std::vector<std::size_t>& gone, std::function<void()> then) {
    if (gone.empty()) return then();
    on_.in(leave_time, [this, gone, then = std::move(then)] {
      for (const std::size_t index : gone) end(index);
      then();
    });
  }

  /// One that sleeps.
  void end(std::size_t index) {
    const auto place = std::find_if(asleep_.begin(), asleep_.end(),
                                    [&](const sleeper& each) { return each.model == index; });
    asleep_.erase(place);
    const fleet_model& what = load_.models[index];
    books_.sleeps(index, 0);
    books_.give(what.residue, what.weights);
    books_.resident(-1);
    models_[index].state = where::gone;
    books_.ended();
  }

  void stay_stuck(refusal why) {
    phase_ = phase::stuck;
    stuck_by_ = why;
    proceed();
  }

  void start() {
    if (const auto why = rule_.may_start(view(), current_)) return stay_stuck(*why);
    const fleet_model& what = load_.models[current_];
    books_.take(rule_.awake_bytes(what), rule_.holds_host_memory_awake() ? what.weights : 0);
    books_.started(current_);
    how_ = path::cold;
    phase_ = phase::starting;
    on_.in(cold_time(what), [this] {
      books_.resident(1);
      ready();
    });
  }

  void wake() {
    if (const auto why = rule_.may_wake(view(), current_)) return stay_stuck(*why);
    const fleet_model& what = load_.models[current_];
    const auto place = std::find_if(asleep_.begin(), asleep_.end(),
                                    [&](const sleeper& each) { return each.model == current_; });
    asleep_.erase(place);
    books_.sleeps(current_, 0);
    books_.give(what.residue, rule_.holds_host_memory_awake() ? 0 : what.weights);
    books_.take(rule_.awake_bytes(what), 0);
    books_.woke(current_, false);
    how_ = path::asleep;
    phase_ = phase::starting;
    on_.in(wake_time(what), [this] { ready(); });
  }

  void ready() {
    phase_ = phase::ready;
    draining_ = false;
    models_[current_].state = where::here;
    for (const waiting& each : std::exchange(models_[current_].waits, {})) serve(*each.what, how_);
    proceed();
  }

  void leave() {
    phase_ = phase::leaving;
    // Also who was asked for while it was draining.
    if (!models_[current_].waits.empty()) enqueue(current_);
    std::vector<std::size_t> gone = rule_.before_sleep(view(), current_);
    const auto itself = std::find(gone.begin(), gone.end(), current_);
    const bool sleeps = itself == gone.end();
    if (!sleeps) gone.erase(itself);
    end_all(gone, [this, sleeps] {
      on_.in(leave_time, [this, sleeps] { sleeps ? fall_asleep() : vanish(); });
    });
  }

  void fall_asleep() {
    const fleet_model& what = load_.models[current_];
    books_.give(rule_.awake_bytes(what), 0);
    books_.take(what.residue, rule_.holds_host_memory_awake() ? 0 : what.weights);
    books_.put_to_sleep(current_);
    asleep_.push_back({current_, on_.since_start()});
    books_.sleeps(current_, what.residue);
    models_[current_].state = where::asleep;
    over();
  }

  void vanish() {
    const fleet_model& what = load_.models[current_];
    books_.give(rule_.awake_bytes(what), rule_.holds_host_memory_awake() ? what.weights : 0);
    books_.resident(-1);
    models_[current_].state = where::gone;
    books_.ended();
    over();
  }

  void over() {
    phase_ = phase::free;
    draining_ = false;
    proceed();
  }

  const node_load& load_;
  sleeper_rule& rule_;
  machine on_;
  std::vector<model> models_;
  books books_;
  std::vector<sleeper> asleep_;
  std::deque<std::size_t> queue_;
  phase phase_ = phase::free;
  std::size_t current_ = 0;
  bool draining_ = false;
  path how_ = path::cold;
  refusal stuck_by_ = refusal::memory;
  std::uint64_t number_ = 0;
};

}  // namespace

outcome run_whole_gpu(const node_load& load, sleeper_rule& rule) {
  return turns(load, rule).run();
}

}  // namespace bench::fleet
