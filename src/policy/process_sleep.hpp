#ifndef LULL_POLICY_PROCESS_SLEEP_HPP
#define LULL_POLICY_PROCESS_SLEEP_HPP

#include <lull/sleeper.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/probe_thread.hpp"
#include "policy/outside.hpp"

namespace lull::detail {

/// This process off its GPUs and back by the driver, for all its sleepers: it is suspended when the
/// last of them sleeps by such a plan, and restored by the first that wakes. One of them at a time
/// is in here.
class process_sleep {
 public:
  static process_sleep& shared();

  /// A sleeper that has something to lose; from now on it is awake.
  void join(const void* sleeper);
  /// Its end. What is asleep stays asleep; but where no other sleeper is left to restore the
  /// process it is restored now, if it fits.
  void part(const void* sleeper, const sleeper_suspend_options& options) noexcept;

  /// Whether all that a sleeper has sleeps, by whichever plan.
  void note_asleep(const void* sleeper, bool asleep) noexcept;
  /// @throws error (busy) that tells how many others do not sleep
  void expect_others_asleep(const void* sleeper) const;
  /// Ends the program that is asked what is free, until it is needed again.
  void end_observer();

  /// What is wrong with suspending is known before anything is touched.
  /// @param carried_bytes what the driver will move, as far as that is known already
  /// @throws error unsupported; busy; out_of_host_memory; what options.free_bytes throws
  void check(const std::vector<device>& devices, const sleeper_suspend_options& options,
             std::uint64_t carried_bytes);
  /// Suspends, if all others sleep by such a plan; else notes it in the transition.
  /// @param timeout for submitted work, and for questions that are under way
  /// @throws error; everything is as before, unless suspended() says otherwise
  void sleep(const void* sleeper, const std::vector<device>& devices,
             const sleeper_suspend_options& options, duration timeout, transition& current);
  /// Restores the process if it is suspended.
  /// @throws error out_of_device_memory: with the arithmetic, suspended as before; backend: it is
  ///         lost, or still locked
  void wake(const void* sleeper, const sleeper_suspend_options& options, transition& current);

  /// Whether nothing may be asked of the driver.
  [[nodiscard]] bool suspended() const;

 private:
  /// Stuck: a call of the driver has not returned.
  enum class state : std::uint8_t { running, locked, suspended, stuck, lost };

  void suspend(const sleeper_suspend_options& options, duration timeout, transition& current);
  void save(const sleeper_suspend_options& options, duration timeout, transition& current);
  [[nodiscard]] std::map<std::string, std::uint64_t> ask_outside(
      const sleeper_suspend_options& options);
  void expect_room(const sleeper_suspend_options& options);
  void restore(const sleeper_suspend_options& options, transition& current);
  void by_driver(const char* what, duration limit, std::function<void()> work);
  void see_what_came();
  void unlock(transition& current);

  mutable std::mutex mutex_;
  /// The devices of each that sleeps by such a plan; none for one that does not.
  std::map<const void*, std::vector<device>> sleepers_;
  std::map<const void*, bool> asleep_;  ///< of each, whether it sleeps by any plan
  std::vector<device> devices_;  ///< of all of them, from the suspension to the end of the restore
  state state_ = state::running;
  probe_thread driver_calls_;
  std::optional<outside_observer> observer_;
  std::vector<std::string> observer_program_;
  std::map<std::string, std::uint64_t> needed_;  ///< on each device, to be restored
};

/// The devices of a plan that suspends the process.
/// @throws error (unsupported) when one of them cannot, or there is none
std::vector<device> devices_to_suspend(const std::vector<device>& used);

}  // namespace lull::detail

#endif  // LULL_POLICY_PROCESS_SLEEP_HPP
