// When a sleeper that sleeps is taken to the next rung of its ladder.

#include <algorithm>
#include <chrono>

#include "policy/depth.hpp"
#include "policy/sleeper_impl.hpp"
#include "vocabulary/text.hpp"

namespace lull {

/// @pre there is an idle time
duration sleeper::impl::time_of(std::size_t rung) const {
  return rung == 0 ? *idle_time : rungs[rung].after;
}

std::optional<time_point> sleeper::impl::rung_deadline() const {
  if (gate.state() != sleep_state::asleep || deepening || wanted_deepening) return std::nullopt;
  if (next_rung == rungs.size() || wakers != 0 || !members.all_asleep()) return std::nullopt;
  if (rung_at_once) return state_since;
  if (!idle_time) return std::nullopt;
  const duration span = time_of(next_rung);
  const time_point from = idle_since();
  return std::max(span > no_deadline - from ? no_deadline : from + span, no_rung_before);
}

bool sleeper::impl::start_rung(time_point now) {
  const auto deadline = rung_deadline();
  if (!deadline || now < *deadline) return false;
  auto attempt = std::make_shared<sleep_attempt>();
  attempt->plan = rungs[next_rung].plan;
  attempt->by_ladder = true;
  start_runner();
  wanted_deepening = std::move(attempt);
  work.notify_all();
  return true;
}

void sleeper::impl::expect_first_rung_at(std::optional<duration> wanted) const {
  if (!wanted || rungs.size() == 1 || *wanted < rungs[1].after) return;
  detail::fail(status::invalid_argument,
               "sleeper: idle_time must be below {} ms, after which the next rung of the ladder "
               "('{}') is due",
               std::chrono::duration_cast<std::chrono::milliseconds>(rungs[1].after).count(),
               rungs[1].plan.name);
}

/// A sleep has begun, or failed: from its top.
void sleeper::impl::begin_ladder() {
  next_rung = 0;
  rung_at_once = false;
  failed_rungs = 0;
  no_rung_before = time_point::min();
  pass_rungs();
}

/// Leaves out the rungs that say nothing beyond what the sleep does already.
void sleeper::impl::pass_rungs() {
  while (next_rung < rungs.size() && detail::covers(current_plan, rungs[next_rung].plan)) {
    ++next_rung;
  }
}

/// Tries it again later, or goes on with the rung that is due by then.
void sleeper::impl::note_failed_rung(const error& failure) {
  static constexpr duration pause = std::chrono::seconds{1};
  const auto leave_out = [this] {
    ++next_rung;
    failed_rungs = 0;
    no_rung_before = clock.now() + pause;
  };
  if (failure.code() == status::unsupported) return leave_out();
  if (!idle_time) return;
  no_rung_before = clock.now() + wait_after_failures(time_of(next_rung), ++failed_rungs);
  const bool is_last = next_rung + 1 == rungs.size();
  if (!is_last && no_rung_before >= idle_since() + time_of(next_rung + 1)) leave_out();
}

}  // namespace lull
