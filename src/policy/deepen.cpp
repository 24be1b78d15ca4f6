// From one sleep to a deeper one.

#include <algorithm>
#include <utility>

#include "policy/depth.hpp"
#include "policy/released.hpp"
#include "policy/sleeper_impl.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull {

/// The attempt that a caller of deepen() waits for.
std::shared_ptr<sleep_attempt> sleeper::impl::want_deepening(
    std::unique_lock<std::mutex>& lock, const std::optional<sleep_plan>& plan) {
  const auto in_transition = [this] {
    return gate.state() != sleep_state::asleep && gate.state() != sleep_state::awake;
  };
  while (in_transition() || deepening || wanted_deepening) {
    clock.wait_until(changed, lock, no_deadline);
  }
  if (const auto refused = why_not_deeper()) throw error(*refused);
  if (!plan && next_rung == rungs.size()) {
    detail::fail(status::not_found, "asleep by '{}', and the ladder has no further rung",
                 current_plan.name);
  }
  auto attempt = std::make_shared<sleep_attempt>();
  attempt->plan = plan ? *plan : rungs[next_rung].plan;
  start_runner();
  wanted_deepening = attempt;
  work.notify_all();
  return attempt;
}

std::optional<error> sleeper::impl::why_not_deeper() const {
  if (gate.state() != sleep_state::asleep) {
    return error(status::busy,
                 detail::text("it cannot go to a deeper sleep: it is {}", to_string(gate.state())));
  }
  if (members.all_asleep()) return std::nullopt;
  return error(status::busy,
               "it cannot go to a deeper sleep: since a transition failed, part of it is awake");
}

/// Has a plan that says no more than what the devices can do.
std::optional<error> sleeper::impl::settle_on_possible(sleep_attempt& attempt) const {
  if (attempt.plan.context == context_action::keep) return std::nullopt;
  try {
    sleep_plan possible =
        detail::possible_on(members.devices(), attempt.plan, bool(options.rebirth.hand_over));
    if (possible.context == attempt.plan.context) return std::nullopt;
    attempt.report.fell_back_from = attempt.plan.name;
    attempt.report.plan = possible.name;
    attempt.plan = std::move(possible);
    return std::nullopt;
  } catch (...) {
    return detail::current_error(status::internal);
  }
}

/// Whether a device is left with more than the plan allows. What the transition has not measured is
/// measured here.
bool sleeper::impl::leaves_too_much(const sleep_plan& plan, transition& current) const {
  if (!plan.max_residue_bytes || plan.context == context_action::suspend) return false;
  try {
    for (const device& each : members.devices()) {
      const bool known = std::any_of(current.devices_.begin(), current.devices_.end(),
                                     [&](const auto& seen) { return seen.device == each.name(); });
      if (known) continue;
      device_report seen;
      seen.device = each.name();
      try {
        seen.after = each.memory();
      } catch (const error& failure) {
        current.add_problem(failure.what());
      }
      current.add({}, {std::move(seen)});
    }
    return detail::exceeds_residue(plan, current.devices_, current);
  } catch (...) {
    // What is not known hurries nothing.
    options.log.write(log_level::warning,
                      detail::current_error(status::internal, "residue").what());
    return false;
  }
}

void sleeper::impl::perform_deepening(std::unique_lock<std::mutex>& lock) {
  const auto attempt = std::exchange(wanted_deepening, nullptr);
  try {
    carry_out_deepening(lock, *attempt);
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    if (!attempt->finished) {
      attempt->failure = detail::current_error(status::internal, "deepen");
      end_deepening(*attempt);
    }
    throw;
  }
}

void sleeper::impl::carry_out_deepening(std::unique_lock<std::mutex>& lock,
                                        sleep_attempt& attempt) {
  const time_point begun = clock.now();
  transition_report& report = attempt.report;
  report.way = transition_report::direction::deepen;
  report.plan = attempt.plan.name;
  // Who waited for a lease went first.
  attempt.failure = why_not_deeper();
  if (attempt.failure || detail::covers(current_plan, attempt.plan)) {
    report.plan = current_plan.name;
    report.succeeded = !attempt.failure;
    attempt.finished = true;
    changed.notify_all();
    return;
  }
  const sleep_plan from = current_plan;
  const auto deeper = [&from, &attempt] { return !detail::covers(from, attempt.plan); };
  deepening = true;
  rung_at_once = false;

  const bool too_much = ask_participants(lock, attempt, [&](transition& current) {
    attempt.plan = detail::joined(from, attempt.plan);
    // It may have fallen back to what is done already.
    return deeper() ? members.deepen(from, attempt.plan, options_of_resets(), current)
                    : detail::outcome{};
  });
  report.elapsed = clock.now() - begun;
  const bool went_deeper = deeper();
  if (!attempt.failure && !went_deeper) attempt.plan.name = report.plan = from.name;
  end_deepening(attempt);
  rung_at_once = too_much && went_deeper;
  finish(lock, report);
}

/// Counts what was carried out, and tells those who wait for it.
void sleeper::impl::end_deepening(sleep_attempt& attempt) {
  deepening = false;
  attempt.finished = true;
  if (!attempt.failure) {
    if (!detail::covers(current_plan, attempt.plan)) ++counters.deepenings;
    std::swap(current_plan, attempt.plan);  // without taking memory: it has been done
    if (attempt.by_ladder) ++next_rung;
    failed_rungs = 0;
    no_rung_before = time_point::min();
    pass_rungs();
  } else {
    ++counters.failed_deepenings;
    if (attempt.by_ladder) note_failed_rung(*attempt.failure);
  }
  changed.notify_all();
}

}  // namespace lull
