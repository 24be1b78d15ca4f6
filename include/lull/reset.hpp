#ifndef LULL_RESET_HPP
#define LULL_RESET_HPP

/// @file
/// Resetting a device's GPU context: the reset itself, its report, and hooks around it.
///
/// A reset raises the device's generation. What a program makes in a context and keeps over a reset
/// is in lull/context.hpp.

#include <lull/clock.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/device.hpp>
#include <lull/error.hpp>
#include <lull/export.h>
#include <lull/log.hpp>
#include <lull/report.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
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
/// refuse the reset; then those called already get their `after` with was_reset = false. What a
/// hook after throws is reported in the reset_report. Hooks must not start a reset.
///
/// Other threads may go on using the device while the hooks before run. Pass `check` as well if
/// nothing may be recreated in between.
///
/// On a device without a context, the host, nothing is ever called.
class LULL_API reset_hook {
 public:
  using callback = std::function<void(const reset_event&)>;

  /// @param name for reports and errors
  /// @param check called last before the context goes, when no operation on the device is under way
  ///        and none can begin, also where the hook came while those before were called; may throw
  ///        to refuse the reset. It must not wait for another thread, which may be waiting for the
  ///        device.
  reset_hook(lull::device device, std::string name, callback before, callback after,
             callback check = {});
  reset_hook() noexcept = default;
  reset_hook(reset_hook&& other) noexcept = default;
  reset_hook& operator=(reset_hook&& other) noexcept;
  /// When it returns none of the callbacks runs or will run again; for that it waits for one that
  /// runs on another thread.
  ~reset_hook();

 private:
  std::shared_ptr<detail::device_context> context_;
  std::shared_ptr<detail::context_hook> hook_;
};

struct reset_report;

struct reset_options {
  /// Give up what still lives on the device instead of refusing: allocations, streams, pinned
  /// memory and graphs made through lull, and regions without a lease (their contents are
  /// discarded).
  bool drop = false;
  /// How long to wait for another reset of the device; and then, once the hooks before have run,
  /// for operations under way and submitted work to finish. Above 0.
  duration drain_timeout = std::chrono::seconds{10};
  /// How long to wait, at most, for the driver to return what this process held, after the reset.
  /// Judged as settle() does: over at once when nothing is held any more, else when nothing has
  /// moved for 250 ms, 300 ms after the reset at the earliest (1 s, where nothing came back).
  /// Drivers return memory tens to hundreds of milliseconds late (ollama, server/sched.go:
  /// converges in 0.5 to 1.5 s).
  duration settle_timeout = std::chrono::seconds{2};
  /// The program's own reset, for one whose vendor runtime is linked statically and keeps state of
  /// its own. Called instead of the module's, with the device current on no thread in particular.
  /// What it throws fails the reset: a lull::error as it is, anything else with status `callback`.
  std::function<void(const lull::device&)> reset = {};
  /// Gets a mark for the device as soon as the reset has released memory, also when it failed
  /// later: the driver returns it after that. Must outlive the call. Null: nobody is told.
  release_clock* releases = nullptr;
  /// Gets the report of a reset that fails, which throws and so returns none. Its last step is the
  /// one that failed.
  reset_report* failed_report = nullptr;
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
  /// What this process still holds; absent when the platform cannot tell. `after.source` says how
  /// it is known.
  [[nodiscard]] std::optional<std::uint64_t> residue_bytes() const noexcept {
    return after.used_by_process_bytes;
  }
};

/// Destroys the device's context and all that lives in it, and measures what is left without making
/// a new one.
///
/// Hooks before; gate closed to every other operation on the device; refusal if something of ours
/// still lives there, or a hook's check says no; synchronize, bounded; release what a reset leaves
/// behind (stable-address memory, stream-ordered pools, graph memory); reset; generation + 1; gate
/// open; hooks after; measurement. Address reservations stay, which hold no memory: evicted regions
/// need them. Where no reset is known to keep them (capability::addresses_outlive_reset) they are
/// given up before it, and it is refused if one of them must not move (region_options::may_move).
///
/// A device without a context is left alone: `was_reset` is false, and no hook runs.
///
/// Blocks. Thread-safe; one at a time a device, a second one waits for it. @throws error
///         unsupported, also for what must not move; busy: with what is alive, or a hook's refusal;
///         timed_out: operations or work did not finish in drain_timeout; backend. The context is
///         as it was before, except where the vendor's reset itself failed.
LULL_API reset_report dev_reset(const device& which, const reset_options& options = {});

/// One device of a dev_reset_all.
struct reset_result {
  reset_report report;                 ///< after a failure: how far it came; the last step failed
  std::optional<lull::error> failure;  ///< absent: it succeeded
};

/// Resets several devices, each on a thread of its own. Never throws for a device: results come in
/// the order of `which`. The hooks of different devices run at the same time.
[[nodiscard]] LULL_API std::vector<reset_result> dev_reset_all(const std::vector<device>& which,
                                                               const reset_options& options = {});

}  // namespace lull

#endif  // LULL_RESET_HPP
