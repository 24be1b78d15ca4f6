// The end of a sleeper with the image of its process, and its beginning in the next.

#include <lull/rebirth.hpp>

#include <utility>

#include "policy/process_sleep.hpp"
#include "policy/sleeper_impl.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull {

/// Does not return but by throwing: then all is as it was.
void sleeper::impl::replace_image(transition& current) {
  sleep_counters then;
  {
    const std::lock_guard lock(mutex);
    then = counters;
    ++(deepening ? then.deepenings : then.sleeps);
  }
  rebirth_handover left;
  current.step("hand over", [&] { left = options.rebirth.hand_over(then); });
  try {
    {
      // Nobody new can come, if the caller has seen to it; who came before that goes first.
      const std::lock_guard lock(mutex);
      if (waiting != 0) {
        detail::fail(status::busy, "{} wait for a lease, and go first", waiting);
      }
    }
    // It would be a child that the next image knows nothing of.
    detail::process_sleep::shared().end_observer();
    current.step("rebirth", [&] { rebirth(left, options.rebirth.how); });
  } catch (...) {
    const error failure = detail::current_error(status::internal);
    if (options.rebirth.called_off) options.rebirth.called_off();
    throw error(failure);
  }
}

void sleeper::impl::begin_asleep(sleep_plan plan, const sleep_counters& from,
                                 transition_report last) {
  // What those get who ask for a sleep now.
  auto done = std::make_shared<sleep_attempt>();
  done->finished = true;
  done->report = last;
  if (last.plan.empty()) {
    done->report.plan = plan.name;
    done->report.succeeded = true;
  }
  if (wanted_sleep || !gate.close_if_idle(sleep_state::asleep)) {
    detail::fail(status::busy, "the sleeper cannot begin asleep: it is {}, with {} leases out",
                 to_string(gate.state()), gate.leases());
  }
  last_sleep = std::move(done);
  members.adopt_sleep();
  set_state(sleep_state::asleep);
  current_plan = std::move(plan);
  counters = from;
  if (!last.plan.empty()) last_report = std::move(last);
  begin_ladder();
  work.notify_all();
}

}  // namespace lull
