#ifndef LULL_CONTEXT_HPP
#define LULL_CONTEXT_HPP

/// @file
/// The GPU context as something that can go away: resetting it, and what has to be made anew after
/// that.
///
/// A reset raises the device's generation. Everything that a program makes once per process and that
/// really lives in the context (kernel attributes, library handles, streams, captured graphs) is
/// stale afterwards. `once_per_context` and `context_local` remake such things by themselves,
/// `context_bound` refuses to hand them out, and `reset_hook` calls whatever else has to be told.

#include <lull/clock.hpp>
#include <lull/device.hpp>
#include <lull/error.hpp>
#include <lull/export.h>
#include <lull/log.hpp>
#include <lull/report.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lull {

class release_clock;  // lull/settle.hpp

namespace detail {
struct context_hook;
class device_context;
}  // namespace detail

/// What a hook is told about the reset it belongs to.
struct reset_event {
  const lull::device& device;
  bool dropping = false;   ///< what still lives on the device is to be given up
  bool was_reset = false;  ///< for the hook after: whether the context is gone. After a reset that
                           ///< was refused or failed the hook is called with false.
};

/// Calls `before` and `after` around every reset of a device while it exists.
///
/// The hooks before run in the reverse order of registration, those after in the forward order, on
/// the thread that resets. A hook before may destroy what lives in the context, and may throw to
/// refuse the reset; then those called already get their `after` with was_reset = false. What a hook
/// after throws is reported in the reset_report. Hooks must not start a reset.
///
/// Other threads may go on using the device while the hooks before run. Who must be sure that nothing
/// was made anew meanwhile gives a `check` too.
///
/// On a device without a context, the host, nothing is ever called.
class LULL_API reset_hook {
 public:
  using callback = std::function<void(const reset_event&)>;

  /// @param name for reports and errors
  /// @param check called last before the context goes, when no operation on the device is under way
  ///        and none can begin; may throw to refuse the reset. It must not wait for another thread,
  ///        which may be waiting for the device.
  reset_hook(lull::device device, std::string name, callback before, callback after,
             callback check = {});
  reset_hook() noexcept = default;
  reset_hook(reset_hook&& other) noexcept = default;
  reset_hook& operator=(reset_hook&& other) noexcept;
  /// When it returns none of the callbacks runs or will run again; for that it waits for one that runs
  /// on another thread.
  ~reset_hook();

 private:
  std::shared_ptr<detail::device_context> context_;
  std::shared_ptr<detail::context_hook> hook_;
};

struct reset_options {
  /// Give up what still lives on the device instead of refusing: allocations, streams, pinned memory
  /// and graphs made through lull, and regions without a lease (their contents are discarded).
  bool drop = false;
  /// How long to wait for another reset of the device; and then, once the hooks before have run, for
  /// operations under way and submitted work to finish. Above 0.
  duration drain_timeout = std::chrono::seconds{10};
  /// How long to wait, after the reset, for the driver to return the memory. Drivers do that tens to
  /// hundreds of milliseconds late (ollama, server/sched.go: converges in 0.5 to 1.5 s).
  duration settle_timeout = std::chrono::seconds{2};
  /// The program's own reset, for one whose vendor runtime is linked statically and keeps state of
  /// its own. Called instead of the module's, with the device current on no thread in particular.
  std::function<void(const lull::device&)> reset = {};
  /// Gets a mark for the device as soon as the reset has released memory, also when it failed later:
  /// the driver returns it after that. Must outlive the call. Null: nobody is told.
  release_clock* releases = nullptr;
  const lull::clock* clock = &lull::steady_clock();
  log_sink log = {};
};

/// What a reset did.
struct reset_report {
  std::string device;
  bool was_reset = false;        ///< false: there was no context, and nothing was done
  std::uint64_t generation = 0;  ///< after the reset
  memory_info before;
  memory_info after;
  std::string dropped;  ///< what was given up, "2 allocations (1 MiB)"; empty: nothing
  std::vector<step_report> steps;
  std::vector<std::string> problems;  ///< what went wrong without making the reset fail
  duration elapsed{};

  /// What this process held before and no longer holds; absent when the platform cannot tell.
  [[nodiscard]] std::optional<std::int64_t> freed_bytes() const noexcept {
    if (!before.used_by_process_bytes || !after.used_by_process_bytes) return std::nullopt;
    // Modulo 2^64 and read as signed, so that it cannot wrap.
    return static_cast<std::int64_t>(*before.used_by_process_bytes - *after.used_by_process_bytes);
  }
  /// What this process still holds; absent when the platform cannot tell. `after.source` says how it
  /// is known.
  [[nodiscard]] std::optional<std::uint64_t> residue_bytes() const noexcept {
    return after.used_by_process_bytes;
  }
};

/// Destroys the device's context and all that lives in it, and measures what is left without making
/// a new one.
///
/// Hooks before; gate closed to every other operation on the device; refusal if something of ours
/// still lives there, or a hook's check says no; synchronize, bounded; release what a reset leaves behind (stable-address
/// memory, stream-ordered pools, graph memory); reset; generation + 1; gate open; hooks after;
/// measurement. Address reservations stay: they hold no memory, and evicted regions need them.
///
/// A device without a context is left alone: `was_reset` is false, and no hook runs.
///
/// Blocks. Thread-safe; one reset of a device at a time, a second one waits for it.
/// @throws error unsupported; busy: with what is alive, or a hook's refusal; timed_out: operations
///         or work did not finish in drain_timeout; backend. The context is as it was before, except
///         where the vendor's reset itself failed.
LULL_API reset_report dev_reset(const device& which, const reset_options& options = {});

/// One device of a dev_reset_all.
struct reset_result {
  std::optional<reset_report> report;
  std::optional<lull::error> failure;  ///< exactly one of the two is there
};

/// Resets several devices, each on a thread of its own. Never throws for a device: results come in
/// the order of `which`. The hooks of different devices run at the same time.
[[nodiscard]] LULL_API std::vector<reset_result> dev_reset_all(const std::vector<device>& which,
                                                               const reset_options& options = {});

/// Runs something once per context of a device: what a function-local `static bool done` does once
/// per process, and then never again after a reset. Thread-safe.
class LULL_API once_per_context {
 public:
  /// Runs `setup` unless it has run in the device's present context. Others wait meanwhile; if it
  /// throws, the exception passes and the next call tries again.
  template <class Setup>
  void call(const device& where, Setup&& setup) {
    call_erased(where, [&setup] { setup(); });
  }

 private:
  struct done {
    device where;
    std::uint64_t generation;
  };
  void call_erased(const device& where, const std::function<void()>& setup);

  std::mutex mutex_;
  std::vector<done> done_;
};

/// A value that was made in one context: handed out only as long as that context lives. For what
/// cannot be remade without its owner: a captured graph, a library handle.
template <class T>
class context_bound {
 public:
  context_bound(device where, T value)
      : where_(std::move(where)), generation_(where_.generation()), value_(std::move(value)) {}

  [[nodiscard]] bool stale() const noexcept { return where_.generation() != generation_; }

  /// @throws error (stale) when the device was reset since
  [[nodiscard]] T& get() {
    expect_fresh();
    return value_;
  }
  [[nodiscard]] const T& get() const {
    expect_fresh();
    return value_;
  }

  /// Replaces the value by one that was made in the present context.
  void remake(T value) {
    value_ = std::move(value);
    generation_ = where_.generation();
  }

 private:
  void expect_fresh() const {
    if (!stale()) return;
    throw error(status::stale, where_.name() + ": made in context generation " +
                                   std::to_string(generation_) +
                                   ", which a reset ended; make it "
                                   "again (now: " +
                                   std::to_string(where_.generation()) + ")");
  }

  device where_;
  std::uint64_t generation_;
  T value_;
};

/// A T per context of a device: made when first asked for, destroyed before a reset takes its context
/// away, and made again after it. T's destructor may therefore use the context.
///
/// While a shared pointer from get() is held elsewhere a reset is refused (`busy`). Thread-safe.
template <class T>
class context_local {
 public:
  using factory = std::function<std::unique_ptr<T>(const device&)>;

  /// @param name for reports and errors
  context_local(device where, std::string name, factory make)
      : state_(std::make_shared<state>(std::move(where), std::move(name), std::move(make))),
        hook_(
            state_->where, state_->name, [s = state_](const reset_event&) { s->drop(); }, {},
            [s = state_](const reset_event&) { s->expect_none(); }) {}

  /// The value of the present context; made now if there is none. What the factory throws passes.
  [[nodiscard]] std::shared_ptr<T> get() {
    const std::lock_guard lock(state_->mutex);
    if (!state_->value) state_->value = state_->make(state_->where);
    return state_->value;
  }

 private:
  struct state {
    state(device on, std::string named, factory from)
        : where(std::move(on)), name(std::move(named)), make(std::move(from)) {}

    void drop() {
      std::shared_ptr<T> gone;
      const std::lock_guard lock(mutex);
      if (value.use_count() > 1) {
        throw error(status::busy, where.name() + ": '" + name + "' is in use");
      }
      gone = std::move(value);
      value.reset();
    }

    /// It may have been made again since drop(), or be in the making, and would live in the context
    /// that goes. Whoever makes it holds the mutex and may wait for the device: so no waiting here.
    void expect_none() {
      const std::unique_lock lock(mutex, std::try_to_lock);
      if (lock && !value) return;
      throw error(status::busy, where.name() + ": '" + name + "' was made again meanwhile");
    }

    const device where;
    const std::string name;
    const factory make;
    std::mutex mutex;
    std::shared_ptr<T> value;
  };

  std::shared_ptr<state> state_;
  reset_hook hook_;
};

}  // namespace lull

#endif  // LULL_CONTEXT_HPP
