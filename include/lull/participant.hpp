#ifndef LULL_PARTICIPANT_HPP
#define LULL_PARTICIPANT_HPP

/// @file
/// What sleeps and wakes with a sleeper, and what a transition lends it.

#include <lull/clock.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/device.hpp>
#include <lull/error.hpp>
#include <lull/export.h>
#include <lull/log.hpp>
#include <lull/memory.hpp>
#include <lull/report.hpp>
#include <lull/sleep_plan.hpp>
#include <lull/stop.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lull {

/// What a transition did.
struct transition_report {
  enum class direction : std::uint8_t {
    sleep,
    wake,
    deepen,  ///< from one sleep to a deeper one
  };
  direction way = direction::sleep;
  std::string plan;            ///< the plan's name
  std::string fell_back_from;  ///< the plan that was asked for, if devices lack what it says; empty
  bool succeeded = false;
  bool rolled_back = true;         ///< after a failure: whether all is as it was before
  std::string failure;             ///< the error's message; empty on success
  std::vector<step_report> steps;  ///< in the order they began; the last one failed if any did
  std::vector<device_report> devices;
  std::vector<std::string> problems;  ///< what went wrong without making the transition fail
  duration elapsed{};
};

LULL_API std::string_view to_string(transition_report::direction way) noexcept;

/// What a transition lends to those that take part in it.
class LULL_API transition {
 public:
  /// @param time must outlive the object
  transition(const lull::clock& time, stop_view stop, progress_callback progress,
             log_sink log = {});

  /// Set when the sleeper is told to give up; then throw error(cancelled).
  [[nodiscard]] const stop_view& stop() const noexcept { return stop_; }
  [[nodiscard]] const progress_callback& progress() const noexcept { return progress_; }
  /// The sleeper's clock and log, for what a participant times or has to say.
  [[nodiscard]] const lull::clock& clock() const noexcept { return *clock_; }
  [[nodiscard]] const log_sink& log() const noexcept { return log_; }

  /// Runs `work` and records it as a step, also when it throws.
  void step(std::string_view name, const std::function<void()>& work);
  // Reporting never fails a transition: where there is no memory for it, the report lacks it.

  /// Adds steps that were timed elsewhere, and what devices held before and after them.
  void add(std::vector<step_report> steps, std::vector<device_report> devices);
  /// Adds what a transfer did.
  void add(transfer_report report) { add(std::move(report.steps), std::move(report.devices)); }
  /// Says that memory of a device was given up by other means than a transfer, for example by
  /// unloading a model: it is in the transition's report, and sleeper_options::releases gets a mark
  /// for the device.
  /// @param bytes how much; absent: not known
  void released(const device& from, std::optional<std::uint64_t> bytes = std::nullopt);
  /// Adds the regions that moved in a transition that took part of this one back.
  void add_moves(transition& undone);
  /// Adds what went wrong without making the transition fail, and logs it as a warning.
  void add_problem(std::string words);

 private:
  friend class sleeper;
  void write_to(transition_report& report, const std::optional<error>& failure, bool rolled_back);

  const lull::clock* clock_;
  stop_view stop_;
  progress_callback progress_;
  log_sink log_;
  std::vector<step_report> steps_;
  std::vector<device_report> devices_;
  std::vector<std::string> released_;  ///< devices of which memory was given up by other means
  std::vector<std::string> problems_;
};

/// Something that sleeps and wakes with the sleeper. Called on the sleeper's own thread, or where
/// sleeper_options::run_on says, one call at a time and with no lease out, except where a function
/// says otherwise. Of the sleeper it may call observe() only.
class LULL_API participant {
 public:
  virtual ~participant() = default;
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;

  /// All or nothing: after a throw everything is as before the call.
  virtual void sleep(const sleep_plan& plan, transition& current) = 0;
  /// All or nothing, as sleep. Also called to undo a sleep when a later participant failed.
  /// @param plan of the sleep that it wakes from: what was done with the contents
  virtual void wake(const sleep_plan& plan, transition& current) = 0;

  /// @name Going from one sleep to a deeper one, without waking
  /// @{
  /// Gives up what `to` gives up and `from` did not. All or nothing, as sleep. What could not be
  /// taken back again is for deepened(). Afterwards it sleeps by `to`.
  /// @param to is no shallower than `from` in anything
  /// @throws error (unsupported): the default. Then the sleep stays as it was.
  virtual void deepen(const sleep_plan& from, const sleep_plan& to, transition& current);
  /// Takes a deepen() back, because what came after it failed: it sleeps by `from` again. All or
  /// nothing. By default there is nothing to do.
  virtual void undo_deepen(const sleep_plan& /*from*/, const sleep_plan& /*to*/,
                           transition& /*current*/) {}
  /// All have gone deeper, and nothing will be taken back: gives up what was kept for that, such as
  /// copies of what `to` discards. Not called where the process is suspended. What it throws is
  /// told as a problem. By default there is nothing to do.
  virtual void deepened(const sleep_plan& /*to*/, transition& /*current*/) {}
  /// @}

  /// The devices that it uses. A plan that resets contexts resets those of all participants once
  /// all of them sleep.
  [[nodiscard]] virtual std::vector<device> devices() const { return {}; }

  /// When upkeep() is due, on the sleeper's clock; absent: not for now. Called on any thread, at
  /// any time, under the sleeper's lock: be quick, and call nothing of the sleeper, not even
  /// observe().
  [[nodiscard]] virtual std::optional<time_point> next_upkeep() const noexcept {
    return std::nullopt;
  }
  /// What has to be done from time to time while awake, such as evicting what was idle for too
  /// long. Leases may be out, and be taken meanwhile. What it throws is logged. Called again after
  /// 10 ms at the earliest, also where next_upkeep() always says "now".
  virtual void upkeep(time_point /*now*/) {}
};

/// What a participant made of two functions does; see participant for what they have to keep to.
using transition_function = std::function<void(const sleep_plan&, transition&)>;

/// What such a participant does to go from one sleep to a deeper one, and to take that back.
using deepen_function =
    std::function<void(const sleep_plan& from, const sleep_plan& to, transition&)>;

/// A participant without a class of its own.
/// @param devices those that it uses; a plan that resets contexts resets theirs
/// @param deepen as participant::deepen(); empty: it cannot, and no ladder takes it deeper
/// @param undo_deepen as participant::undo_deepen(); empty: there is nothing to do
/// @throws error (invalid_argument) when the name, or `sleep` or `wake`, is empty
[[nodiscard]] LULL_API std::shared_ptr<participant> make_participant(
    std::string name, transition_function sleep, transition_function wake,
    std::vector<device> devices = {}, deepen_function deepen = {},
    deepen_function undo_deepen = {});

}  // namespace lull

#endif  // LULL_PARTICIPANT_HPP
