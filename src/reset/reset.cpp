#include <lull/reset.hpp>
#include <lull/settle.hpp>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>

#include "core/device_access.hpp"
#include "report/step_timer.hpp"
#include "reset/addresses.hpp"
#include "reset/hook_run.hpp"
#include "settle/driver.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace {

using detail::device_context;
using detail::hook_run;
using detail::note_problem;
using detail::object_kind;

/// One reset of one device.
class reset_run {
 public:
  reset_run(const device& which, const reset_options& options)
      : device_(which),
        state_(*detail::device_access::state(which)),
        context_(*state_.context),
        options_(options),
        clock_(*options.clock),
        begun_(clock_.now()) {
    report_.device = which.name();
    // Nothing may fail between the reset and what follows it.
    report_.steps.reserve(most_steps);
  }

  void run();
  /// Also of a reset that failed: its last step is the one that did.
  [[nodiscard]] reset_report take_report();

 private:
  void with_hooks();
  void with_gate_closed(const hook_run& hooks);
  void drain();
  void refuse_if_alive();
  void find_what_outlives();
  void release_what_outlives();
  void destroy_context();
  void mark_release() noexcept;
  void measure();
  [[nodiscard]] memory_info returned(const std::optional<std::uint64_t>& used_bytes) const;
  void log_problems() const noexcept;
  [[nodiscard]] memory_info observe();

  static constexpr std::size_t most_steps = 6;

  /// @param name short enough to take no memory, as those of all steps
  template <class Work>
  void step(std::string_view name, Work&& work) {
    const detail::step_timer timer(report_.steps, clock_, name);
    work();
  }

  /// Does what may fail without harm.
  template <class Work>
  void attempt(Work&& work) noexcept {
    try {
      work();
    } catch (...) {
      note_problem(report_.problems);
    }
  }

  const device& device_;
  const detail::device_state& state_;
  device_context& context_;
  const reset_options& options_;
  const clock& clock_;
  const time_point begun_;
  time_point deadline_{};  ///< for operations and work under way, once the hooks are through
  reset_report report_;
  bool released_ = false;         ///< something was given up, or may have been
  bool generation_ends_ = false;  ///< something was given up that is told by its generation
  std::vector<detail::device_books::entry> graphs_, pinned_, mappings_, memory_, addresses_;
};

memory_info reset_run::observe() {
  memory_info seen;
  attempt([&] { seen = device_.memory(); });
  return seen;
}

void reset_run::run() {
  const device_context::turn turn(context_, clock_, clock_.deadline_in(options_.drain_timeout));
  if (!turn) {
    detail::fail(status::timed_out,
                 "{}: another reset of it has been under way for longer than "
                 "drain_timeout",
                 device_.name());
  }
  report_.generation = device_.generation();
  const bool has_context = device_.context_alive() != tristate::no;
  const bool has_objects = !context_.books.describe_live().empty();
  report_.before = observe();
  if (!has_context && !has_objects) {
    report_.after = report_.before;
  } else {
    with_hooks();
    step("settle", [this] { attempt([this] { measure(); }); });
  }
  log_problems();
}

reset_report reset_run::take_report() {
  report_.elapsed = clock_.now() - begun_;
  return std::move(report_);
}

void reset_run::log_problems() const noexcept {
  for (const std::string& problem : report_.problems) {
    try {
      options_.log.write(log_level::warning,
                         detail::text("{}: reset: {}", device_.name(), problem));
    } catch (...) {  // NOLINT(bugprone-empty-catch): logging never breaks an operation
    }
  }
}

void reset_run::with_hooks() {
  hook_run hooks(context_, options_.drop);
  try {
    step("hooks before", [&] { hooks.before(); });
    with_gate_closed(hooks);
  } catch (...) {
    mark_release();
    hooks.after(false, report_.problems);
    report_.after = observe();
    log_problems();
    throw;
  }
  mark_release();
  step("hooks after", [&] { hooks.after(report_.was_reset, report_.problems); });
}

/// Behind the gate again: who is told may look at the device at once.
void reset_run::mark_release() noexcept {
  if (!released_ || options_.releases == nullptr) return;
  try {
    options_.releases->mark(
        device_, {report_.before.used_by_process_bytes.value_or(0), report_.before.free_bytes});
  } catch (...) {
    options_.releases->mark_all();  // needs no memory
  }
}

void reset_run::with_gate_closed(const hook_run& hooks) {
  // From here: how long the hooks take, which may save gigabytes, is theirs to bound.
  deadline_ = clock_.deadline_in(options_.drain_timeout);
  if (!context_.gate.close(clock_, deadline_)) {
    detail::fail(
        status::timed_out, "{}: operations on it did not finish within {} ms", device_.name(),
        std::chrono::duration_cast<std::chrono::milliseconds>(options_.drain_timeout).count());
  }
  struct opener {
    detail::device_gate& gate;
    ~opener() { gate.open(); }
  } const open_again{context_.gate};

  hooks.check();
  refuse_if_alive();
  detail::expect_addresses_may_go(device_);
  find_what_outlives();
  step("drain", [this] { drain(); });
  released_ = true;
  step("release", [this] { release_what_outlives(); });
  try {
    step("reset", [this] { destroy_context(); });
  } catch (...) {
    // Whoever still has a handle of a graph that is gone knows it by its generation.
    if (generation_ends_) context_.generation.raise();
    throw;
  }
}

void reset_run::refuse_if_alive() {
  std::string alive = context_.books.describe_live();
  if (alive.empty()) return;
  if (!options_.drop) {
    detail::fail(status::busy,
                 "{}: cannot be reset while it has {}; free them first, or ask for them "
                 "to be dropped",
                 device_.name(), alive);
  }
  report_.dropped = std::move(alive);
}

void reset_run::drain() {
  // The vendor's call has no deadline of its own. It runs on a thread that can be given up
  // on; it goes to the table directly, for the gate is closed to every thread but this one.
  struct failed_call {
    lull_status code = LULL_OK;
    lull_backend_error failure{};
  };
  const auto answer = context_.drainer->call(
      clock_,
      [backend = state_.backend, index = state_.index] {
        failed_call result;
        const auto synchronize = detail::op::synchronize.in(backend->table());
        result.code = synchronize(backend->handle(), index, &result.failure);
        return result;
      },
      deadline_);
  if (!answer.value) {
    detail::fail(status::timed_out,
                 "{}: its work did not finish within the drain timeout; nothing was "
                 "reset",
                 device_.name());
  }
  const auto code = detail::raw(answer.value->code);
  if (code == LULL_OK) return;
  const error failure =
      detail::make_error(code, device_.name(), "synchronize", answer.value->failure);
  // Work is being captured into a graph: a reset would destroy it half-way.
  if (failure.code() == status::busy) throw failure;
  // A context that is broken (after a fault of a kernel) cannot be synchronized, and a reset is the
  // one thing that still helps.
  report_.problems.emplace_back(failure.what());
}

/// Before the first of it is given up: from there on nothing may fail for want of memory.
void reset_run::find_what_outlives() {
  graphs_ = context_.books.all(object_kind::graph);
  pinned_ = context_.books.all(object_kind::pinned);
  mappings_ = context_.books.all(object_kind::mapping);
  memory_ = context_.books.all(object_kind::memory);
  if (!detail::addresses_outlive_reset(device_)) {
    addresses_ = context_.books.all(object_kind::reservation);
  }
}

/// Gives up what a reset would leave behind: what is mapped and then its memory, graphs (ROCm keeps
/// what an executable one holds), and pinned memory, which hipDeviceReset leaves alone because it
/// belongs to all devices (rocclr device.cpp: MemObjMap::Purge).
void reset_run::release_what_outlives() {
  const auto pointer = [](const detail::device_books::entry& each) {
    return reinterpret_cast<void*>(static_cast<std::uintptr_t>(each.key));
  };
  for (const auto& graph : graphs_) {
    generation_ends_ = true;
    attempt([&] { device_.graph_destroy(pointer(graph)); });
  }
  for (const auto& pinned : pinned_) attempt([&] { device_.pinned_free(pointer(pinned)); });
  for (const auto& mapping : mappings_) {
    attempt([&] { device_.vm_unmap(pointer(mapping), mapping.bytes); });
  }
  for (const auto& memory : memory_) attempt([&] { device_.vm_destroy(memory.key); });
  // Not left to the reset: who reserves them anew must not find them half there.
  for (const auto& range : addresses_) {
    generation_ends_ = true;
    attempt([&] { device_.vm_release(pointer(range), range.bytes); });
  }
  if (device_.supports(capability::pools)) attempt([this] { device_.pool_trim(); });
  if (device_.supports(capability::graph_trim)) attempt([this] { device_.graph_trim(); });
}

void reset_run::destroy_context() {
  if (options_.reset) {
    try {
      options_.reset(device_);
    } catch (...) {
      throw detail::current_error(status::callback, "the program's own reset");
    }
  } else {
    detail::call(state_, detail::op::reset);
  }
  context_.books.clear_what_a_reset_ends(detail::addresses_outlive_reset(device_));
  report_.generation = context_.generation.raise();
  report_.was_reset = true;
}

/// Waits until the driver has returned the memory, or returns no more of it. Judged as settle()
/// does, by what this process still holds, which nobody else changes.
void reset_run::measure() {
  class own_memory final : public detail::settle_world {
   public:
    explicit own_memory(reset_run& run) : run_(run) {}
    [[nodiscard]] time_point now() const noexcept override { return run_.clock_.now(); }
    [[nodiscard]] std::variant<std::vector<memory_reading>, detail::sample_failure> sample(
        time_point /*deadline*/) override {
      run_.report_.after = run_.observe();
      return std::vector<memory_reading>{
          {run_.report_.device, run_.returned(run_.report_.after.used_by_process_bytes)}};
    }
    [[nodiscard]] bool wait_until(time_point moment) override {
      std::unique_lock lock(mutex_);
      while (now() < moment) run_.clock_.wait_until(never_, lock, moment);
      return true;
    }

   private:
    reset_run& run_;
    std::mutex mutex_;
    std::condition_variable never_;
  } world(*this);

  settle_options how;
  how.max_wait = options_.settle_timeout;
  how.expected = {{report_.device, 0, 0}};  // nothing had come back before the reset
  const auto released_now = [at = clock_.now()](std::string_view) { return release_mark{at}; };
  static_cast<void>(detail::run_settle(how, released_now, world, detail::of_own_memory));
}

/// What this process held before the reset as a device of its own: all of it was in use, and what
/// it no longer holds is free.
memory_info reset_run::returned(const std::optional<std::uint64_t>& used_bytes) const {
  memory_info seen;
  seen.total_bytes = report_.before.used_by_process_bytes;
  if (seen.total_bytes && used_bytes) {
    seen.free_bytes = *seen.total_bytes - std::min(*seen.total_bytes, *used_bytes);
  }
  return seen;
}

void check(const device& which, const reset_options& options) {
  detail::expect_same_process();
  which.require(capability::reset, "dev_reset");
  which.require(capability::context, "dev_reset");
  detail::expect_not_suspended(*detail::device_access::state(which));
  detail::expect_addresses_may_go(which);
  if (options.clock == nullptr) throw error(status::invalid_argument, "dev_reset: clock is null");
  if (options.drain_timeout <= duration::zero()) {
    throw error(status::invalid_argument, "dev_reset: drain_timeout must be above 0");
  }
}

reset_result reset_one(const device& which, const reset_options& options) {
  reset_result result;
  try {
    check(which, options);
    reset_run work(which, options);
    try {
      work.run();
    } catch (...) {
      result.failure = detail::current_error(status::internal);
    }
    result.report = work.take_report();
  } catch (...) {
    result.report.device = which.name();
    result.failure = detail::current_error(status::internal);
  }
  return result;
}

}  // namespace

reset_report dev_reset(const device& which, const reset_options& options) {
  check(which, options);
  reset_run work(which, options);
  try {
    work.run();
  } catch (...) {
    if (options.failed_report != nullptr) *options.failed_report = work.take_report();
    throw;
  }
  return work.take_report();
}

std::vector<reset_result> dev_reset_all(const std::vector<device>& which,
                                        const reset_options& options) {
  std::vector<std::future<reset_result>> running(which.size());
  std::vector<reset_result> results(which.size());
  for (std::size_t i = 0; i < which.size(); ++i) {
    try {
      running[i] = std::async(std::launch::async,
                              [&which, &options, i] { return reset_one(which[i], options); });
    } catch (...) {  // NOLINT(bugprone-empty-catch): no thread; see below
    }
  }
  for (std::size_t i = 0; i < which.size(); ++i) {
    results[i] = running[i].valid() ? running[i].get() : reset_one(which[i], options);
  }
  return results;
}

}  // namespace lull
