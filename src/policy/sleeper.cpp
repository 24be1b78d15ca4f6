#include <lull/sleeper.hpp>

#include <system_error>

#include "policy/depth.hpp"
#include "policy/sleeper_impl.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace {

void expect_not_negative(std::string_view what, duration span) {
  if (span >= duration::zero()) return;
  detail::fail(status::invalid_argument, "sleeper: {} must not be negative", what);
}

void expect_positive(std::string_view what, duration span) {
  if (span > duration::zero()) return;
  detail::fail(status::invalid_argument, "sleeper: {} must be above 0", what);
}

void expect_available(const sleep_plan& plan, const sleeper_options& options) {
  if (plan.context != context_action::rebirth || plan.fallback || options.rebirth.hand_over) return;
  detail::fail(status::unsupported,
               "sleep plan '{}' replaces the image of this process, and there is no "
               "sleeper_rebirth_options::hand_over",
               plan.name);
}

/// How exactly the idle time is kept.
constexpr duration precision = std::chrono::milliseconds{10};

sleeper_options checked(sleeper_options options) {
  if (options.idle_time) expect_not_negative("idle_time", *options.idle_time);
  expect_positive("drain_timeout", options.drain_timeout);
  if (options.reset.drain_timeout) {
    expect_positive("reset.drain_timeout", *options.reset.drain_timeout);
  }
  if (options.suspend.lock_timeout) {
    expect_positive("suspend.lock_timeout", *options.suspend.lock_timeout);
  }
  expect_positive("suspend.driver_timeout", options.suspend.driver_timeout);
  expect_available(options.plan, options);
  if (options.idle_time && !options.ladder.empty()) {
    throw error(status::invalid_argument,
                "sleeper: idle_time and ladder are both set; the ladder has its own times");
  }
  detail::check_ladder(options.ladder);
  for (const sleep_rung& each : options.ladder) expect_available(each.plan, options);
  if (options.clock == nullptr) throw error(status::invalid_argument, "sleeper: clock is null");
  return options;
}

std::vector<sleep_rung> rungs_of(const sleeper_options& options) {
  if (!options.ladder.empty()) return options.ladder;
  return {{options.idle_time.value_or(duration::zero()), options.plan}};
}

std::optional<duration> first_idle_time(const sleeper_options& options) {
  return options.ladder.empty() ? options.idle_time : std::optional(options.ladder.front().after);
}

}  // namespace

sleeper::impl::impl(sleeper& of, sleeper_options given)
    : owner(&of),
      options(checked(std::move(given))),
      clock(*options.clock),
      last_active(clock.now().time_since_epoch().count()),
      idle_time(first_idle_time(options)),
      rungs(rungs_of(options)),
      current_plan(rungs.front().plan),
      state_since(clock.now()) {
  detail::note_use();
  members.set_suspension(options.suspend,
                         options.suspend.lock_timeout.value_or(options.drain_timeout));
  members.set_rebirth([this] { expect_rebirth_possible(options.rebirth.how); },
                      [this](transition& current) { replace_image(current); });
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
  if (async_server.joinable()) async_server.join();
}

time_point sleeper::impl::idle_since() const noexcept {
  return time_point{duration{last_active.load(std::memory_order_relaxed)}};
}

void sleeper::impl::tell_who_drains() noexcept {
  // The runner looks at the gate under the mutex before it waits: taking it here means that the
  // runner is either not yet looking or already waiting.
  const std::lock_guard lock(mutex);
  changed.notify_all();
}

void sleeper::impl::leave_observing() noexcept {
  observers.fetch_sub(1, std::memory_order_relaxed);
  static_cast<void>(gate.leave());
  const std::lock_guard lock(mutex);
  changed.notify_all();
  work.notify_all();  // a sleep that was due meanwhile can begin
}

void sleeper::impl::set_state(sleep_state next) {
  gate.set_state(next);
  state_since = clock.now();
  changed.notify_all();
}

void sleeper::impl::start_runner() {
  if (runner.joinable()) return;
  try {
    runner = std::thread([this] { run(); });
  } catch (const std::system_error& failure) {
    detail::fail(status::out_of_host_memory, "sleeper: cannot start its thread: {}",
                 failure.what());
  }
}

void sleeper::impl::expect_other_thread(const char* what) const {
  const auto here = std::this_thread::get_id();
  if (runner.get_id() != here && acting.load(std::memory_order_relaxed) != here) return;
  detail::fail(status::busy,
               "{} called from a participant or a callback of the sleeper; "
               "it would wait for itself",
               what);
}

std::optional<time_point> sleeper::impl::idle_deadline() const {
  if (!idle_time || gate.state() != sleep_state::awake || wanted_sleep) return std::nullopt;
  const std::uint32_t leases = gate.leases();
  const std::uint32_t observing = observers.load(std::memory_order_relaxed);
  // Who was woken for and has not got its lease yet works already.
  const bool working = leases > observing || wakers != 0;
  const duration wait = idle_wait();
  // An observer wakes whoever waits for this when it leaves.
  if (leases != 0 && !working && clock.now() - idle_since() >= wait) return std::nullopt;
  const time_point from = working ? clock.now() : idle_since();
  // Nobody says when work ends: then it is looked at again soon, however short the idle time is.
  const duration span = working ? std::max(wait, precision) : wait;
  return span > no_deadline - from ? no_deadline : from + span;
}

/// The idle time; after sleeps that failed longer and longer, so that what cannot be done is not
/// tried for ever at the same pace.
duration sleeper::impl::idle_wait() const {
  return failed_idle_sleeps == 0 ? *idle_time : wait_after_failures(*idle_time, failed_idle_sleeps);
}

/// @param failures one at least
duration sleeper::impl::wait_after_failures(duration first, std::uint32_t failures) {
  constexpr duration shortest = std::chrono::seconds{1};
  constexpr duration longest = std::chrono::hours{1};
  constexpr std::uint32_t most_doublings = 12;  // an hour from a second
  first = std::max(first, shortest);
  const auto doublings = std::min(failures - 1, most_doublings);
  return first > longest ? first : std::min(first * (1 << doublings), longest);
}

std::optional<time_point> sleeper::impl::upkeep_deadline() const {
  if (gate.state() != sleep_state::awake) return std::nullopt;
  return members.next_upkeep();
}

std::optional<time_point> sleeper::impl::next_deadline() const {
  std::optional<time_point> first;
  for (const auto& each : {idle_deadline(), upkeep_deadline(), rung_deadline()}) {
    if (each && (!first || *each < *first)) first = each;
  }
  return first;
}

void sleeper::impl::start_upkeep(time_point now) {
  const auto deadline = upkeep_deadline();
  if (!deadline || now < *deadline) return;
  start_runner();
  upkeep_wanted = true;
  work.notify_all();
}

bool sleeper::impl::start_idle_sleep(time_point now) {
  const auto deadline = idle_deadline();
  if (!deadline || now < *deadline || gate.leases() != 0 || wakers != 0) return false;
  auto attempt = std::make_shared<sleep_attempt>();
  attempt->plan = rungs.front().plan;
  attempt->only_if_idle = true;
  attempt->idle_since = idle_since();
  start_runner();
  wanted_sleep = std::move(attempt);
  work.notify_all();
  return true;
}

/// The attempt that a caller of sleep() waits for: a new one, or the one under way.
std::shared_ptr<sleep_attempt> sleeper::impl::want_sleep(std::unique_lock<std::mutex>& lock,
                                                         const std::optional<sleep_plan>& plan) {
  while (gate.state() == sleep_state::waking) clock.wait_until(changed, lock, no_deadline);
  if (gate.state() != sleep_state::awake) return last_sleep;
  start_runner();
  if (!wanted_sleep || wanted_sleep->only_if_idle) {
    auto attempt = std::make_shared<sleep_attempt>();
    attempt->plan = plan.value_or(rungs.front().plan);
    wanted_sleep = std::move(attempt);
  }
  work.notify_all();
  return wanted_sleep;
}

/// Waits for an attempt.
/// @throws error why it failed
transition_report sleeper::impl::report_of(std::unique_lock<std::mutex>& lock,
                                           const sleep_attempt& attempt) {
  while (!attempt.finished) clock.wait_until(changed, lock, no_deadline);
  if (attempt.failure) throw error(*attempt.failure);
  try {
    return attempt.report;
  } catch (const std::bad_alloc&) {
    // It sleeps: that is not to look like a failure because the details find no room.
    transition_report short_report;
    short_report.way = attempt.report.way;
    short_report.succeeded = attempt.report.succeeded;
    short_report.elapsed = attempt.report.elapsed;
    return short_report;
  }
}

sleeper::sleeper(sleeper_options options)
    : impl_(std::make_unique<impl>(*this, std::move(options))) {}

sleeper::~sleeper() {
  static_cast<void>(detail::leak_in_forked_child(std::move(impl_)));
}

void sleeper::add(std::shared_ptr<participant> who) {
  if (who == nullptr) throw error(status::invalid_argument, "sleeper: a null participant");
  detail::expect_same_process();
  const std::lock_guard lock(impl_->mutex);
  if (impl_->gate.state() != sleep_state::awake || impl_->wanted_sleep) {
    detail::fail(status::busy, "a participant cannot be added while {}",
                 to_string(impl_->gate.state()));
  }
  impl_->members.add(std::move(who));
  impl_->work.notify_all();  // it may have upkeep due before anything that the runner waits for
}

void sleeper::manage(memory& what) {
  add(detail::make_participant(what));
}

std::optional<sleeper::lease> sleeper::try_acquire(lease_use use) noexcept {
  if (detail::in_forked_child.load(std::memory_order_relaxed)) return std::nullopt;
  if (use == lease_use::observe) impl_->observers.fetch_add(1, std::memory_order_relaxed);
  if (impl_->gate.try_enter()) return lease(*this, use);
  impl_->leave();
  if (use == lease_use::observe) impl_->observers.fetch_sub(1, std::memory_order_relaxed);
  return std::nullopt;
}

sleeper::lease sleeper::share(const lease& held) {
  detail::expect_same_process();
  if (held.owner_ != this) {
    throw error(status::invalid_argument,
                "share: this lease was given back, or is another sleeper's");
  }
  if (held.use_ == lease_use::observe) impl_->observers.fetch_add(1, std::memory_order_relaxed);
  impl_->gate.enter_again();
  return lease(*this, held.use_);
}

sleeper::lease& sleeper::lease::operator=(lease&& other) noexcept {
  if (this != &other) {
    release();
    owner_ = std::exchange(other.owner_, nullptr);
    use_ = other.use_;
  }
  return *this;
}

void sleeper::lease::release() noexcept {
  if (owner_ == nullptr || detail::in_forked_child.load(std::memory_order_relaxed)) return;
  impl& from = *std::exchange(owner_, nullptr)->impl_;
  if (use_ == lease_use::observe) return from.leave_observing();
  from.mark_active();
  from.leave();
}

sleeper_snapshot sleeper::observe() const {
  detail::expect_same_process();
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
  seen.deepening = impl_->deepening;
  seen.counters = impl_->counters;
  seen.last = impl_->last_report;
  return seen;
}

transition_report sleeper::sleep(const std::optional<sleep_plan>& plan) {
  detail::expect_same_process();
  std::unique_lock lock(impl_->mutex);
  impl_->expect_other_thread("sleep");
  const auto attempt = impl_->want_sleep(lock, plan);
  return impl_->report_of(lock, *attempt);
}

transition_report sleeper::deepen(const std::optional<sleep_plan>& plan) {
  detail::expect_same_process();
  std::unique_lock lock(impl_->mutex);
  impl_->expect_other_thread("deepen");
  const auto attempt = impl_->want_deepening(lock, plan);
  return impl_->report_of(lock, *attempt);
}

void sleeper::begin_asleep(sleep_plan plan, const sleep_counters& counters,
                           transition_report last) {
  detail::expect_same_process();
  const std::lock_guard lock(impl_->mutex);
  impl_->begin_asleep(std::move(plan), counters, std::move(last));
}

bool sleeper::poll(time_point now) {
  detail::expect_same_process();
  const std::lock_guard lock(impl_->mutex);
  if (impl_->start_idle_sleep(now) || impl_->start_rung(now)) return true;
  impl_->start_upkeep(now);
  return false;
}

std::optional<time_point> sleeper::next_deadline() const {
  detail::expect_same_process();
  const std::lock_guard lock(impl_->mutex);
  return impl_->next_deadline();
}

void sleeper::set_idle_time(std::optional<duration> idle_time) {
  if (idle_time) expect_not_negative("idle_time", *idle_time);
  detail::expect_same_process();
  const std::lock_guard lock(impl_->mutex);
  impl_->expect_first_rung_at(idle_time);
  impl_->idle_time = idle_time;
  impl_->failed_idle_sleeps = 0;
  impl_->failed_rungs = 0;
  impl_->no_rung_before = time_point::min();
  // What was due by the old time and has not begun is due no more; nobody waits for it.
  if (impl_->wanted_sleep && impl_->wanted_sleep->only_if_idle) impl_->wanted_sleep.reset();
  if (impl_->wanted_deepening && impl_->wanted_deepening->by_ladder && !impl_->rung_at_once) {
    impl_->wanted_deepening.reset();
    impl_->changed.notify_all();
  }
  impl_->work.notify_all();
}

}  // namespace lull
