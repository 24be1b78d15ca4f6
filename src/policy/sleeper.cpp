#include <lull/sleeper.hpp>

#include "policy/sleeper_impl.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace {

void expect_positive(std::string_view what, duration span) {
  if (span > duration::zero()) return;
  detail::fail(status::invalid_argument, "sleeper: {} must be above 0", what);
}

void expect_available(const sleep_plan& plan) {
  if (plan.context == context_action::keep || plan.context == context_action::reset) return;
  detail::fail(status::unsupported,
               "sleep plan '{}': context action '{}' is not available in this build of "
               "lull; there are: keep, reset",
               plan.name, to_string(plan.context));
}

sleeper_options checked(sleeper_options options) {
  if (options.idle_time) expect_positive("idle_time", *options.idle_time);
  expect_positive("drain_timeout", options.drain_timeout);
  expect_available(options.plan);
  if (options.clock == nullptr) throw error(status::invalid_argument, "sleeper: clock is null");
  return options;
}

}  // namespace

sleeper::impl::impl(sleeper_options given)
    : options(checked(std::move(given))),
      clock(*options.clock),
      last_active(clock.now().time_since_epoch().count()),
      idle_time(options.idle_time),
      current_plan(options.plan),
      state_since(clock.now()) {
  const std::lock_guard lock(mutex);
  if (options.watch_idle) start_runner();
}

sleeper::impl::~impl() {
  {
    const std::lock_guard lock(mutex);
    stopping = true;
    stop.request_stop();
    work.notify_all();
    changed.notify_all();  // the runner may be draining
  }
  if (runner.joinable()) runner.join();
}

// Two threads that leave at once may store their times in the wrong order; the later one is then
// forgotten by as long as one of them was held up between reading the clock and storing it.
void sleeper::impl::mark_active() noexcept {
  last_active.store(clock.coarse_now().time_since_epoch().count(), std::memory_order_relaxed);
}

time_point sleeper::impl::idle_since() const noexcept {
  return time_point{duration{last_active.load(std::memory_order_relaxed)}};
}

void sleeper::impl::leave() noexcept {
  if (!gate.leave()) return;
  // The runner looks at the gate under the mutex before it waits: taking it here means that the
  // runner is either not yet looking or already waiting.
  const std::lock_guard lock(mutex);
  changed.notify_all();
}

void sleeper::impl::set_state(sleep_state next) {
  gate.set_state(next);
  state_since = clock.now();
  changed.notify_all();
}

void sleeper::impl::start_runner() {
  if (!runner.joinable()) runner = std::thread([this] { run(); });
}

void sleeper::impl::expect_other_thread(const char* what) const {
  if (runner.get_id() != std::this_thread::get_id()) return;
  detail::fail(status::busy,
               "{} called from a participant or a callback of the sleeper; "
               "it would wait for itself",
               what);
}

std::optional<time_point> sleeper::impl::idle_deadline() const {
  if (!idle_time || gate.state() != sleep_state::awake || wanted_sleep) return std::nullopt;
  const time_point from = gate.leases() != 0 ? clock.now() : idle_since();
  return *idle_time > no_deadline - from ? no_deadline : from + *idle_time;
}

std::optional<time_point> sleeper::impl::upkeep_deadline() const {
  if (gate.state() != sleep_state::awake) return std::nullopt;
  return sleepers.next_upkeep();
}

std::optional<time_point> sleeper::impl::next_deadline() const {
  const auto sleep_due = idle_deadline();
  const auto upkeep_due = upkeep_deadline();
  if (!sleep_due || !upkeep_due) return sleep_due ? sleep_due : upkeep_due;
  return std::min(*sleep_due, *upkeep_due);
}

void sleeper::impl::start_upkeep(time_point now) {
  const auto deadline = upkeep_deadline();
  if (!deadline || now < *deadline) return;
  upkeep_wanted = true;
  start_runner();
  work.notify_all();
}

bool sleeper::impl::start_idle_sleep(time_point now) {
  const auto deadline = idle_deadline();
  if (!deadline || now < *deadline || gate.leases() != 0) return false;
  wanted_sleep = std::make_shared<sleep_attempt>();
  wanted_sleep->plan = options.plan;
  wanted_sleep->only_if_idle = true;
  start_runner();
  work.notify_all();
  return true;
}

/// Waits until awake, and takes a lease if asked to.
void sleeper::impl::wait_awake(std::unique_lock<std::mutex>& lock, time_point deadline,
                               const std::stop_token& stop_waiting, bool take_lease) {
  expect_other_thread(take_lease ? "acquire" : "wake");
  const std::uint64_t failures_before = failed_wakes;
  ++waiting;
  ++wakers;
  const auto give_up_waiting = [&] {
    --waiting;
    if (failed_wakes == failures_before) --wakers;
  };
  try {
    while (true) {
      if (gate.state() == sleep_state::awake) {
        // The state does not change while we hold the mutex, except from awake to sleeping.
        if (!take_lease || gate.try_enter()) break;
        static_cast<void>(gate.leave());
      }
      if (failed_wakes != failures_before) throw error(*wake_failure);
      if (stop_waiting.stop_requested()) {
        throw error(status::cancelled, "the wait for a lease was cancelled");
      }
      if (clock.now() >= deadline) {
        detail::fail(status::timed_out, "the deadline for a lease passed while {}",
                     to_string(gate.state()));
      }
      start_runner();
      work.notify_all();
      clock.wait_until(changed, lock, deadline);
    }
  } catch (...) {
    give_up_waiting();
    throw;
  }
  give_up_waiting();
}

/// The attempt that a caller of sleep() waits for: a new one, or the one under way.
std::shared_ptr<sleep_attempt> sleeper::impl::want_sleep(std::unique_lock<std::mutex>& lock,
                                                         const std::optional<sleep_plan>& plan) {
  while (gate.state() == sleep_state::waking) clock.wait_until(changed, lock, no_deadline);
  if (gate.state() != sleep_state::awake) return last_sleep;
  if (!wanted_sleep || wanted_sleep->only_if_idle) {
    wanted_sleep = std::make_shared<sleep_attempt>();
    wanted_sleep->plan = plan.value_or(options.plan);
  }
  start_runner();
  work.notify_all();
  return wanted_sleep;
}

sleeper::sleeper(sleeper_options options) : impl_(std::make_unique<impl>(std::move(options))) {}

sleeper::~sleeper() = default;

void sleeper::add(std::shared_ptr<participant> who) {
  if (who == nullptr) throw error(status::invalid_argument, "sleeper: a null participant");
  const std::lock_guard lock(impl_->mutex);
  if (impl_->gate.state() != sleep_state::awake || impl_->wanted_sleep) {
    detail::fail(status::busy, "a participant cannot be added while {}",
                 to_string(impl_->gate.state()));
  }
  impl_->sleepers.add(std::move(who));
  impl_->work.notify_all();  // it may have upkeep due before anything that the runner waits for
}

void sleeper::manage(memory& what) {
  add(detail::make_participant(what));
}

sleeper::lease sleeper::acquire(time_point deadline, const std::stop_token& stop) {
  if (impl_->gate.try_enter()) return lease(*this);
  impl_->leave();
  // Made before the lock is taken and destroyed after it is gone: the callback takes it too.
  const std::stop_callback wake_up(stop, [this] {
    const std::lock_guard lock(impl_->mutex);
    impl_->changed.notify_all();
  });
  std::unique_lock lock(impl_->mutex);
  impl_->wait_awake(lock, deadline, stop, true);
  return lease(*this);
}

std::optional<sleeper::lease> sleeper::try_acquire() noexcept {
  if (impl_->gate.try_enter()) return lease(*this);
  impl_->leave();
  return std::nullopt;
}

sleeper::lease& sleeper::lease::operator=(lease&& other) noexcept {
  if (this != &other) {
    release();
    owner_ = std::exchange(other.owner_, nullptr);
  }
  return *this;
}

void sleeper::lease::release() noexcept {
  if (owner_ == nullptr) return;
  impl& from = *std::exchange(owner_, nullptr)->impl_;
  from.mark_active();
  from.leave();
}

sleeper_snapshot sleeper::observe() const {
  const std::lock_guard lock(impl_->mutex);
  const time_point now = impl_->clock.now();
  sleeper_snapshot seen;
  seen.state = impl_->gate.state();
  seen.plan = impl_->current_plan.name;
  seen.leases = impl_->gate.leases();
  seen.waiting = impl_->waiting;
  seen.in_state = now - impl_->state_since;
  if (seen.leases == 0) seen.idle = std::max(duration::zero(), now - impl_->idle_since());
  seen.done_bytes = impl_->done_bytes.load(std::memory_order_relaxed);
  seen.total_bytes = impl_->total_bytes.load(std::memory_order_relaxed);
  seen.counters = impl_->counters;
  seen.last = impl_->last_report;
  return seen;
}

transition_report sleeper::sleep(const std::optional<sleep_plan>& plan) {
  if (plan) expect_available(*plan);
  std::unique_lock lock(impl_->mutex);
  impl_->expect_other_thread("sleep");
  const auto attempt = impl_->want_sleep(lock, plan);
  while (!attempt->finished) impl_->clock.wait_until(impl_->changed, lock, no_deadline);
  if (attempt->failure) throw error(*attempt->failure);
  return attempt->report;
}

void sleeper::wake(time_point deadline, const std::stop_token& stop) {
  const std::stop_callback wake_up(stop, [this] {
    const std::lock_guard lock(impl_->mutex);
    impl_->changed.notify_all();
  });
  std::unique_lock lock(impl_->mutex);
  impl_->wait_awake(lock, deadline, stop, false);
}

bool sleeper::poll(time_point now) {
  const std::lock_guard lock(impl_->mutex);
  if (impl_->start_idle_sleep(now)) return true;
  impl_->start_upkeep(now);
  return false;
}

std::optional<time_point> sleeper::next_deadline() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->next_deadline();
}

void sleeper::set_idle_time(std::optional<duration> idle_time) {
  if (idle_time) expect_positive("idle_time", *idle_time);
  const std::lock_guard lock(impl_->mutex);
  impl_->idle_time = idle_time;
  impl_->work.notify_all();
}

}  // namespace lull
