#ifndef LULL_BUDGET_HPP
#define LULL_BUDGET_HPP

/// @file
/// Several models on the devices of a machine, by measured bytes: who comes in, who has to leave
/// for it, and who waits how long.

#include <lull/budget_plan.hpp>
#include <lull/clock.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/error.hpp>
#include <lull/export.h>
#include <lull/log.hpp>
#include <lull/settle.hpp>
#include <lull/stop.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lull {

namespace detail {
class budget_state;
}

/// Bytes on each of some devices, by their names.
using bytes_by_device = std::map<std::string, std::uint64_t>;

/// A device that models share. The memory of the host is one, if it is to be counted.
struct budget_device {
  std::string name;
  std::uint64_t capacity_bytes = 0;
  /// What is kept free. The larger of both counts.
  std::uint64_t margin_bytes = std::uint64_t{1} << 30;
  double margin_share = 0;  ///< of the capacity; 0 to 1
};

/// A depth to which a model can be put away.
struct budget_level {
  std::string name;           ///< "offload"
  bytes_by_device left = {};  ///< what it still holds then
};

/// A model that may come in.
struct budget_model {
  std::string name;
  /// What it holds when it is ready: an estimate, which the first load corrects. Empty: what was
  /// measured when it was last loaded (budget_options::estimates_file). What was measured counts
  /// before what is given.
  bytes_by_device need = {};
  /// Shallow first; the last must leave least on every device.
  std::vector<budget_level> levels = {{"unload", {}}};
  std::int32_t priority = 0;    ///< the larger goes first
  bool pinned = false;          ///< never put away
  duration min_residence = {};  /// not put away before it was ready for so long
  /// How long it takes to come back, from each level until it was measured from there.
  duration wake_time = std::chrono::seconds{1};
};

/// A model that has to leave.
struct budget_eviction {
  std::string model;
  std::string level;          ///< of its levels
  std::size_t depth = 0;      ///< the place of the level among them
  bytes_by_device gain = {};  ///< what should come back
  std::string why = {};       ///< for whom, and the sums of the devices that are short
};

/// What a device says.
struct budget_reading {
  std::string device;
  std::uint64_t used_bytes = 0;  ///< by everybody together
};

struct budget_options {
  std::vector<budget_device> devices = {};

  /// Puts a model away, and returns when that is done. What it throws means that the model is as it
  /// was before; it is then left alone for `retry_after`. Called under no lock, where `run_on`
  /// says, for several models at once; it may call the budget. Admitting somebody from there waits
  /// for room that this very call may be about to make: give a deadline.
  std::function<void(const budget_eviction&)> evict = {};
  /// Waits until what came free is really back: lull::settle, with these expectations. Called like
  /// `evict`, after it. Empty: what `evict` gave up is back when it returns. What it throws is
  /// logged.
  std::function<void(const std::vector<settle_expectation>&)> settle = {};
  /// Asks the devices. Called like `evict`: before and after it, at the start, and every
  /// `look_every` while somebody waits. What is used and was given to no model counts as other
  /// programs' use. Empty: there are none. What it throws is logged, and the old figures stay.
  std::function<std::vector<budget_reading>()> probe = {};
  /// Where evict, settle and probe are run. Empty: each time on a thread of its own. Must run what
  /// it is given, once; may do so at once.
  std::function<void(std::function<void()>)> run_on = {};

  /// After so long an entry goes before all others, and the models that it needs gone get no new
  /// work until it is in. The longest wait is this, the longest work under way, and what was let in
  /// before.
  duration max_wait = std::chrono::seconds{30};
  /// How often later ones may be let in first where they use the same device.
  std::uint32_t max_overtakes = 8;
  /// A model that takes longer to leave is no longer counted on, and others leave instead.
  duration patience = std::chrono::seconds{30};
  duration retry_after = std::chrono::seconds{5};
  duration look_every = std::chrono::seconds{1};

  /// What loads were measured at is kept there; read at the start, replaced as a whole soon after a
  /// load that changed it, by `run_on` as well; the budget's end waits for it. Empty: nowhere.
  /// That it cannot be read or written is logged.
  std::string estimates_file = {};
  log_sink log = {};
  const lull::clock* time = nullptr;  ///< outlives it and its tickets; null: the steady clock
};

/// Leave to use a model; first, perhaps, to load it. Not thread-safe, but may be moved between
/// threads, and may outlive the budget.
class LULL_API budget_ticket {
 public:
  budget_ticket() noexcept = default;
  budget_ticket(budget_ticket&& other) noexcept;
  budget_ticket& operator=(budget_ticket&& other) noexcept;
  /// Gives it back.
  ~budget_ticket();

  /// Whether there is one.
  explicit operator bool() const noexcept { return state_ != nullptr; }
  [[nodiscard]] const std::string& model() const noexcept { return model_; }
  /// The holder has to load the model, and to confirm; everybody else who wants it waits for that.
  [[nodiscard]] bool must_load() const noexcept { return must_load_; }
  /// What the load may take, besides what the model holds already.
  [[nodiscard]] const bytes_by_device& granted() const noexcept { return granted_; }

  /// The model is loaded; the ticket stays, as a lease on it. Does nothing where must_load() is
  /// not.
  /// @param holds what it really holds, where that is known; it corrects the estimate. Absent: the
  ///        estimate
  /// @throws error (invalid_argument) for a device that the budget does not have
  void confirm(const std::optional<bytes_by_device>& holds = std::nullopt);

  /// The work is done; or, without confirm(), the load was given up and the model is as it was
  /// before. Then the next one that waits for it has its turn.
  void release() noexcept;

 private:
  friend class budget;
  friend class detail::budget_state;
  std::shared_ptr<detail::budget_state> state_;
  std::string model_;
  std::size_t index_ = 0;
  bool must_load_ = false;
  bytes_by_device granted_;
};

/// A device at one moment.
struct budget_device_snapshot {
  std::string name;
  std::uint64_t capacity_bytes = 0;
  std::uint64_t margin_bytes = 0;
  std::uint64_t foreign_bytes = 0;  ///< other programs, and what nobody can account for
  std::uint64_t held_bytes = 0;     ///< by models, those on their way in and out included
};

/// A model at one moment.
struct budget_model_snapshot {
  std::string name;
  model_state state = model_state::unloaded;
  std::string level;          ///< that it sleeps at; empty while it does not
  bytes_by_device holds;      ///< now
  bytes_by_device estimate;   ///< what it is expected to hold when ready
  bool measured = false;      ///< whether the estimate comes from a load
  std::uint32_t leases = 0;   ///< tickets out
  std::uint32_t waiting = 0;  ///< callers that wait for it
  /// How long it takes to come back from where it is; while it does not sleep: from its first one.
  duration wake_time{};
  std::vector<duration> wake_times;  ///< from each level; measured, the last ones counting most
  std::int32_t priority = 0;
  bool pinned = false;
  duration kept_for{};             ///< how long it is not put away yet: its minimum residence
  std::optional<duration> idle{};  ///< since it was last used; absent: never was
  double uses_per_second = 0;      ///< plan_model::uses_per_second
};

/// Event counts since construction.
struct budget_counters {
  std::uint64_t loads = 0;             ///< confirmed
  std::uint64_t given_up = 0;          ///< loads that were not
  std::uint64_t evictions = 0;         ///< carried out
  std::uint64_t failed_evictions = 0;  ///< refused by their callback
  std::uint64_t refused = 0;           ///< could never fit
  std::uint64_t timed_out = 0;
  std::uint64_t corrected = 0;  ///< loads that held more or less than estimated
};

struct budget_snapshot {
  std::vector<budget_device_snapshot> devices;
  std::vector<budget_model_snapshot> models;
  budget_counters counters;
};

/// What would be done to let a model in.
struct budget_preview {
  plan_outcome outcome = plan_outcome::planned;
  std::vector<budget_eviction> evictions;  ///< least missed first
  std::string words;                       ///< the sums of the devices that are short
};

/// Knows the devices and what models hold on them; lets models in by their bytes.
///
/// A request for a model that is ready is served at once. One for a model that is not stands in a
/// queue, as one entry however many ask: by priority, then first come first served. Who fits
/// without anybody leaving goes first, within the bounds of budget_options. What can never fit is
/// refused at once, and nobody leaves for it. Otherwise models leave as plan_admission says; one
/// that was chosen gets no work any more and cannot be brought back before it has left. When all is
/// gone, as the devices see it too, the first caller gets a ticket with the bytes; it loads the
/// model and confirms, and all others that wait for it are served.
///
/// When other programs take what was free, models leave by the same plan.
///
/// All functions are thread-safe, and hold no lock while they call something of the caller's.
class LULL_API budget {
 public:
  /// Asks the probe, on the calling thread.
  /// @throws error (invalid_argument) for options that make no sense
  explicit budget(budget_options options);
  /// Ends all waits with `cancelled`, and waits for callbacks under way. Nobody may be in admit().
  ~budget();
  budget(const budget&) = delete;
  budget& operator=(const budget&) = delete;

  /// @throws error (invalid_argument) for an empty or known name, no levels, an unknown device, or
  ///         a model of which nobody knows what it needs
  void add(budget_model model);

  /// Replaces what is said of a known model: from now on it counts. A `need` that is not empty and
  /// other than what was given before replaces what was measured, until the next load.
  /// @throws error as add() does; not_found; busy: other levels for a model that sleeps or leaves,
  ///         or another need for one that is on its way in
  void change(budget_model model);

  /// Forgets a model, but for what it was measured at.
  /// @throws error not_found; busy: it is not unloaded, is still used, or somebody waits for it
  void remove(std::string_view model);

  /// Leave to use a model. Blocks until it has it, at most until `deadline`, whatever the callbacks
  /// do.
  /// @throws error not_found; out_of_device_memory: can never fit, with the sum for each device
  ///         that is short; timed_out: with the sum as it is now; cancelled
  [[nodiscard]] budget_ticket admit(std::string_view model, time_point deadline = no_deadline,
                                    stop_view stop = {});

  /// What a wait ended with: a ticket, or an error.
  struct admission {
    budget_ticket ticket;
    std::optional<error> failure;
  };
  /// The same without a thread: calls `done` once, under no lock, perhaps before it returns.
  /// Between events deadlines are looked at by tick() alone. `done` must not throw.
  /// @param stop ends the wait with `cancelled`, on the thread that stops it
  /// @throws error not_found
  void admit_async(std::string_view model, time_point deadline, std::function<void(admission)> done,
                   const stop_view& stop = {});

  /// Does what has become due: deadlines, max_wait, patience, a look at the devices.
  void tick();
  /// When tick() has something to do, if nothing happens before.
  [[nodiscard]] time_point next_tick() const;

  /// Asks the probe, on the calling thread, and makes room where other programs took it.
  void refresh();

  /// @name What happens without a request for it
  /// @{
  /// Puts away a model that nobody uses or waits for, as any other that leaves. Returns when that
  /// has begun.
  /// @param depth of its levels, as in budget_eviction
  /// @return whether it has: not one that is used, waited for, loading, leaving, or that deep
  /// @throws error not_found; invalid_argument: no such level
  bool put_away(std::string_view model, std::size_t depth);
  /// The model has ended by itself: it gets no work any more, also while tickets for it are out,
  /// and leaves to its deepest level. `evict` is called for that, where nothing is left to do but
  /// to wait for its memory.
  /// @return whether that has begun: not for one that loads, leaves, or is that deep
  /// @throws error not_found
  bool lost(std::string_view model);
  /// Ends all waits for a model with `cancelled`. One that has a ticket keeps it.
  /// @throws error not_found
  void withdraw(std::string_view model);
  /// What a model holds, as measured while it is ready, or asleep: corrects the books, and what is
  /// expected the next time. Does nothing while it loads or leaves.
  /// @throws error not_found; invalid_argument for a device that the budget does not have
  void correct(std::string_view model, const bytes_by_device& holds);
  /// @throws error not_found
  void pin(std::string_view model, bool pinned);
  /// @}

  /// What admit() would do now. Nothing is done.
  /// @throws error not_found
  [[nodiscard]] budget_preview preview(std::string_view model) const;
  [[nodiscard]] budget_snapshot snapshot() const;

 private:
  std::shared_ptr<detail::budget_state> state_;
};

}  // namespace lull

#endif  // LULL_BUDGET_HPP
