#include <lull/error.hpp>
#include <lull/sleeper.hpp>

#include <optional>
#include <system_error>
#include <thread>

#include "memory/departure.hpp"
#include "policy/sleeper_impl.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace detail {

struct sleeper_access {
  [[nodiscard]] static std::vector<device> devices(sleeper& of) {
    const std::lock_guard lock(of.impl_->mutex);
    return of.impl_->members.devices();
  }
  /// The plan that it sleeps by, or none where it does not sleep.
  [[nodiscard]] static std::optional<sleep_plan> sleeps_by(sleeper& of) {
    const std::lock_guard lock(of.impl_->mutex);
    if (of.impl_->gate.state() != sleep_state::asleep) return std::nullopt;
    return of.impl_->current_plan;
  }
  [[nodiscard]] static transition_report last_report(const sleeper& of) {
    return of.observe().last.value_or(transition_report{});
  }
};

}  // namespace detail

namespace {

using detail::sleeper_access;

/// Runs `work`; @return what it threw
template <class Work>
std::optional<error> attempt(Work&& work) noexcept {
  try {
    work();
    return std::nullopt;
  } catch (...) {
    return detail::current_error(status::internal);
  }
}

/// Puts one of them back, and adds to the failure where that is not possible.
template <class Work>
error put_back(const error& failure, const char* which, Work&& work) {
  const auto failed = attempt(work);
  if (!failed) return failure;
  return error(failure.code(), detail::text("{}; putting the {} sleeper back failed too: {}",
                                            failure.what(), which, failed->what()));
}

}  // namespace

swap_report swap(sleeper& leaving, sleeper& coming, const std::optional<sleep_plan>& plan,
                 time_point deadline, const stop_view& stop) {
  if (&leaving == &coming) {
    throw error(status::invalid_argument, "swap: a sleeper cannot leave and come at once");
  }
  const auto slept_by = sleeper_access::sleeps_by(coming);
  const bool leaves = !sleeper_access::sleeps_by(leaving);
  swap_report done;
  std::optional<error> sleep_failure;
  const auto during = detail::departure::begin(sleeper_access::devices(leaving));
  const auto sleep = [&] {
    sleep_failure = attempt([&] { done.slept = leaving.sleep(plan); });
    if (sleep_failure) during->call_off();
    during->end();
  };
  std::thread beside;
  try {
    beside = std::thread(sleep);
  } catch (const std::system_error&) {
    sleep();  // one after the other does as well
  }
  const auto wake_failure = attempt([&] { coming.wake(deadline, stop); });
  if (beside.joinable()) beside.join();
  if (!sleep_failure && !wake_failure) {
    done.woke = sleeper_access::last_report(coming);
    return done;
  }
  // The coming one's failure is the other's, where that is why it could not stay.
  error failure = sleep_failure ? *sleep_failure : *wake_failure;
  if (slept_by) failure = put_back(failure, "coming", [&] { coming.sleep(slept_by); });
  if (leaves) failure = put_back(failure, "leaving", [&] { leaving.wake(); });
  throw failure;
}

}  // namespace lull
