#include "policy/participants.hpp"

#include <lull/error.hpp>
#include <lull/reset.hpp>

#include <algorithm>
#include <new>

#include "policy/half_asleep.hpp"
#include "policy/process_sleep.hpp"
#include "vocabulary/call_back.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

/// Whether that is what is being handled.
bool is_half_asleep() noexcept {
  try {
    throw;
  } catch (const half_asleep&) {
    return true;
  } catch (...) {
    return false;
  }
}

/// Runs `work` for a participant; what it throws comes back as an error that names it.
/// @param half set when the participant is asleep in part now
template <class Work>
std::optional<error> attempt(std::string_view who, Work&& work, bool* half = nullptr) noexcept {
  try {
    work();
    return std::nullopt;
  } catch (...) {
    if (half != nullptr) *half = is_half_asleep();
    return current_error(status::callback, who);
  }
}

void add_failed_undo(outcome& result, const error& undo_failure) noexcept {
  result.rolled_back = false;
  try {
    result.failure = error(
        result.failure->code(),
        text("{}; taking it back failed too: {}", result.failure->what(), undo_failure.what()));
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory; the first failure says enough
  }
}

void add_problem(transition& current, const error& failure) noexcept {
  try {
    current.add_problem(failure.what());
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for the words
  }
}

/// For a rollback, which runs to its end: it is not cancelled, and its progress is not the
/// transition's.
transition quiet_transition(const transition& current) {
  return {current.clock(), {}, {}, current.log()};
}

/// Records what a reset did in the transition.
void record(reset_report done, transition& current) noexcept {
  try {
    for (step_report& each : done.steps) each.name = text("{}: {}", done.device, each.name);
    for (const std::string& each : done.problems) {
      current.add_problem(text("{}: reset: {}", done.device, each));
    }
    device_report seen;
    seen.device = std::move(done.device);
    seen.before = done.before;
    seen.after = done.after;
    current.add(std::move(done.steps), {std::move(seen)});
  } catch (...) {
    // It has happened all the same.
    log_warning(current.log(), "transition", "no memory to report a reset");
  }
}

/// Resets the devices at the same time.
/// @throws error: of the first that could not be reset; the others may have been
void reset_contexts(const std::vector<device>& which, const reset_options& options,
                    transition& current) {
  std::vector<reset_result> results = dev_reset_all(which, options);
  for (reset_result& each : results) record(std::move(each.report), current);
  for (const reset_result& each : results) {
    if (each.failure) throw error(*each.failure);
  }
}

}  // namespace

std::vector<device> participants::devices() const {
  std::vector<device> all;
  for (const member& each : list_) {
    for (device& one : each.who->devices()) {
      if (std::find(all.begin(), all.end(), one) == all.end()) all.push_back(std::move(one));
    }
  }
  return all;
}

std::vector<device> participants::devices_to_reset() const {
  std::vector<device> all;
  std::vector<std::string> without;
  for (const member& each : list_) {
    for (const device& used : each.who->devices()) {
      if (!used.supports(capability::reset)) {
        without.push_back(used.name());
      } else if (std::find(all.begin(), all.end(), used) == all.end()) {
        all.push_back(used);
      }
    }
  }
  if (all.empty()) {
    fail(status::unsupported, "this plan resets the contexts of devices, and {}",
         without.empty() ? "nothing here uses a device" : text("{} has none", without.front()));
  }
  return all;
}

participants::~participants() {
  process_sleep::shared().part(this, suspension_);
}

void participants::add(std::shared_ptr<participant> who) {
  process_sleep::shared().join(this);
  list_.push_back({std::move(who)});
}

/// What is wrong with it is known before anything is touched.
/// @return the devices that are suspended with the process
std::vector<device> participants::prepare_suspension(const sleep_plan& plan) const {
  std::vector<device> used = devices_to_suspend(devices());
  // What is moved or discarded the driver need not carry; how much that is shows afterwards.
  std::uint64_t carried = 0;
  sleep_plan contents = plan;
  contents.context = context_action::keep;
  if (only_trims(contents)) {
    for (const device& each : used) {
      carried += each.memory().used_by_process_bytes.value_or(0);
    }
  }
  process_sleep::shared().check(used, suspension_, carried);
  return used;
}

/// Nothing that anybody here keeps outlives the image. So nobody is asked to give anything up, and
/// a failure leaves all as it was; a process that is suspended needs no room to be restored in.
outcome participants::replace_image(transition& current) const {
  outcome result;
  result.failure = attempt("rebirth", [&] {
    process_sleep::shared().expect_others_asleep(this);
    check_rebirth_();
    replace_image_(current);
  });
  return result;
}

void participants::adopt_sleep() {
  for (member& each : list_) each.asleep = true;
  process_sleep::shared().note_asleep(this, true);
}

outcome participants::sleep(const sleep_plan& plan, const reset_options& reset,
                            transition& current) {
  if (plan.context == context_action::rebirth) return replace_image(current);
  outcome result;
  std::vector<device> to_suspend;
  if (plan.context == context_action::suspend) {
    result.failure = attempt("plan", [&] { to_suspend = prepare_suspension(plan); });
    if (result.failure) return result;
  }
  std::vector<device> to_reset;
  if (plan.context == context_action::reset) {
    result.failure = attempt("plan", [&] { to_reset = devices_to_reset(); });
    if (result.failure) return result;
  }
  std::vector<member*> done;
  done.reserve(list_.size());  // nothing may fail between a participant's sleep and its record
  for (auto each = list_.rbegin(); each != list_.rend(); ++each) {
    if (each->asleep) continue;
    bool half = false;
    result.failure = attempt(
        each->who->name(), [&] { each->who->sleep(plan, current); }, &half);
    if (half) {
      // It counts as asleep, so that the next wake makes it whole.
      each->asleep = true;
      result.rolled_back = false;
    }
    if (result.failure) break;
    each->asleep = true;
    done.push_back(&*each);
  }
  if (!result.failure && plan.context == context_action::reset) {
    result.failure = attempt("reset", [&] { reset_contexts(to_reset, reset, current); });
  }
  if (!result.failure && plan.context == context_action::suspend) {
    result.failure = attempt("suspend", [&] {
      process_sleep::shared().sleep(this, to_suspend, suspension_, suspend_timeout_, current);
    });
    if (result.failure && process_sleep::shared().suspended()) {
      // Nothing can be brought back while it is locked; the next wake begins with unlocking it.
      result.rolled_back = false;
      return result;
    }
  }
  if (result.failure) wake_again(done, plan, current, result);
  if (!result.failure) process_sleep::shared().note_asleep(this, true);
  return result;
}

void participants::wake_again(const std::vector<member*>& asleep, const sleep_plan& plan,
                              transition& current, outcome& result) {
  for (auto at = asleep.rbegin(); at != asleep.rend(); ++at) {
    member* const each = *at;
    transition undo = quiet_transition(current);
    if (const auto failure = attempt(each->who->name(), [&] { each->who->wake(plan, undo); })) {
      add_failed_undo(result, *failure);
    } else {
      each->asleep = false;
      current.add_moves(undo);
    }
  }
}

outcome participants::wake(const sleep_plan& plan, transition& current) {
  process_sleep::shared().note_asleep(this, false);
  outcome result = wake_members(plan, current);
  process_sleep::shared().note_asleep(this, all_asleep());
  return result;
}

outcome participants::wake_members(const sleep_plan& plan, transition& current) {
  outcome result;
  // By whichever plan it sleeps: another sleeper may have suspended the process.
  result.failure =
      attempt("suspend", [&] { process_sleep::shared().wake(this, suspension_, current); });
  if (result.failure) return result;
  std::vector<member*> done;
  done.reserve(list_.size());
  for (member& each : list_) {
    if (!each.asleep) continue;
    result.failure =
        attempt(each.who->name(), [&] { each.who->wake(each.sleeps_by(plan), current); });
    if (result.failure) break;
    each.asleep = false;
    each.beyond.reset();
    done.push_back(&each);
  }
  if (!result.failure) return result;

  for (auto at = done.rbegin(); at != done.rend(); ++at) {
    member* const each = *at;
    transition undo = quiet_transition(current);
    bool half = false;
    const auto failure = attempt(
        each->who->name(), [&] { each->who->sleep(plan, undo); }, &half);
    if (failure) add_failed_undo(result, *failure);
    each->asleep = !failure || half;
  }
  return result;
}

outcome participants::deepen(const sleep_plan& from, const sleep_plan& to,
                             const reset_options& reset, transition& current) {
  // In the image that has begun asleep by it, it has been done.
  const bool replaces = to.context == context_action::rebirth && from.context != to.context;
  if (replaces) return replace_image(current);
  outcome result;
  const bool was_suspended = from.context == context_action::suspend;
  const bool suspends = to.context == context_action::suspend;
  const bool resets = to.context == context_action::reset && from.context != to.context;
  process_sleep& process = process_sleep::shared();
  std::vector<device> affected;
  result.failure = attempt("plan", [&] {
    if (resets) affected = devices_to_reset();
    if (suspends) affected = was_suspended ? devices_to_suspend(devices()) : prepare_suspension(to);
  });
  if (result.failure) return result;
  std::vector<device> to_suspend_again;
  const auto target = std::make_shared<const sleep_plan>(to);
  std::vector<member*> done;
  done.reserve(list_.size());
  if (was_suspended) {
    // Nothing can be asked of the driver, and nothing given up, before it is back.
    result.failure = attempt("suspend", [&] {
      to_suspend_again = devices_to_suspend(devices());
      process.wake(this, suspension_, current);
    });
    if (result.failure) return result;
  }
  const auto suspend = [&](const std::vector<device>& which) {
    return attempt("suspend",
                   [&] { process.sleep(this, which, suspension_, suspend_timeout_, current); });
  };

  result.failure = give_up_contents(from, to, current, done);
  if (!result.failure && resets) {
    result.failure = attempt("reset", [&] { reset_contexts(affected, reset, current); });
  }
  if (!result.failure && suspends) {
    result.failure = suspend(affected);
    if (result.failure && process.suspended()) {
      // Nothing can be taken back while it is locked; the next wake begins with unlocking it.
      for (member* const each : done) each->beyond = target;
      result.rolled_back = false;
      return result;
    }
  }
  if (result.failure) {
    undo_deepen(done, from, target, current, result);
    if (!was_suspended) return result;
    if (const auto again = suspend(to_suspend_again)) add_failed_undo(result, *again);
    return result;
  }
  for (member& each : list_) each.beyond.reset();
  if (!suspends) tell_deepened(to, current);  // else nothing may be touched any more
  return result;
}

/// @param done gets those that went deeper
std::optional<error> participants::give_up_contents(const sleep_plan& from, const sleep_plan& to,
                                                    transition& current,
                                                    std::vector<member*>& done) {
  for (auto each = list_.rbegin(); each != list_.rend(); ++each) {
    auto failure =
        attempt(each->who->name(), [&] { each->who->deepen(each->sleeps_by(from), to, current); });
    if (failure) return failure;
    done.push_back(&*each);
  }
  return std::nullopt;
}

void participants::tell_deepened(const sleep_plan& to, transition& current) {
  for (auto each = list_.rbegin(); each != list_.rend(); ++each) {
    const auto failure = attempt(each->who->name(), [&] { each->who->deepened(to, current); });
    if (failure) add_problem(current, *failure);
  }
}

void participants::undo_deepen(const std::vector<member*>& deeper, const sleep_plan& from,
                               const std::shared_ptr<const sleep_plan>& to, transition& current,
                               outcome& result) {
  for (auto at = deeper.rbegin(); at != deeper.rend(); ++at) {
    member* const each = *at;
    transition undo = quiet_transition(current);
    const auto failure = attempt(each->who->name(),
                                 [&] { each->who->undo_deepen(each->sleeps_by(from), *to, undo); });
    if (!failure) continue;
    each->beyond = to;
    add_failed_undo(result, *failure);
  }
}

std::optional<time_point> participants::next_upkeep() const {
  std::optional<time_point> first;
  for (const member& each : list_) {
    const auto next = each.next_upkeep();
    if (next && (!first || *next < *first)) first = next;
  }
  return first;
}

std::optional<time_point> participants::member::next_upkeep() const {
  const auto next = who->next_upkeep();
  if (!next) return next;
  return std::max(*next, no_upkeep_before);
}

std::vector<std::shared_ptr<participant>> participants::take_due(time_point now) {
  constexpr duration least_interval = std::chrono::milliseconds{10};
  std::vector<std::shared_ptr<participant>> result;
  result.reserve(list_.size());
  for (member& each : list_) {
    const auto next = each.next_upkeep();
    if (!next || *next > now) continue;
    each.no_upkeep_before = now + least_interval;
    result.push_back(each.who);
  }
  return result;
}

bool participants::any_asleep() const noexcept {
  return std::any_of(list_.begin(), list_.end(), [](const member& each) { return each.asleep; });
}

bool participants::all_asleep() const noexcept {
  return std::all_of(list_.begin(), list_.end(), [](const member& each) { return each.asleep; });
}

bool only_trims(const sleep_plan& plan) noexcept {
  const auto keeps = [](contents_action action) { return action == contents_action::keep; };
  return plan.context == context_action::keep && keeps(plan.contents.otherwise) &&
         std::all_of(plan.contents.by_tag.begin(), plan.contents.by_tag.end(),
                     [&](const auto& each) { return keeps(each.second); });
}

}  // namespace lull::detail
