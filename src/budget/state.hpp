#ifndef LULL_BUDGET_STATE_HPP
#define LULL_BUDGET_STATE_HPP

#include <lull/budget.hpp>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "budget/core.hpp"
#include "budget/estimates.hpp"

namespace lull::detail {

/// A budget with its lock, and the callbacks around it. Tickets and jobs share it.
class budget_state : public std::enable_shared_from_this<budget_state> {
 public:
  explicit budget_state(budget_options options);

  void add(budget_model model);
  void change(budget_model model);
  void remove(std::string_view model);
  budget_ticket admit(std::string_view model, time_point deadline, const stop_view& stop);
  void admit_async(std::string_view model, time_point deadline,
                   std::function<void(budget::admission)> done, const stop_view& stop);
  void confirm(budget_ticket& ticket, const std::optional<bytes_by_device>& holds);
  void release(const budget_ticket& ticket) noexcept;
  void tick();
  time_point next_tick();
  void refresh();
  bool put_away(std::string_view model, std::optional<std::size_t> depth);
  void withdraw(std::string_view model);
  void correct(std::string_view model, const bytes_by_device& holds);
  void pin(std::string_view model, bool pinned);
  budget_preview preview(std::string_view model);
  budget_snapshot snapshot();
  /// Ends all waits and waits for all jobs.
  void close() noexcept;

 private:
  using guard = std::unique_lock<std::mutex>;

  [[nodiscard]] error cancelled(const budget_wait& wait) const;
  void give_up(const budget_wait_ptr& wait);
  budget_ticket ticket_for(const budget_wait& wait);
  /// Waits until something may have changed, and does what has become due. Gives up the lock
  /// meanwhile.
  void wait(guard& lock);
  /// Decides what can be decided now, and carries it out. Gives up the lock meanwhile.
  void proceed(guard& lock) noexcept;
  /// Carries out what the core has decided. Gives up the lock meanwhile.
  void carry_out(guard& lock);
  [[nodiscard]] budget::admission admission_of(const budget_wait& wait) noexcept;
  void start_leaving(const budget_core::order& order) noexcept;
  void run(std::function<void()> job);
  void end_job() noexcept;
  void let_leave(const budget_core::order& order) noexcept;
  [[nodiscard]] std::vector<settle_expectation> expectations(const budget_eviction& what) noexcept;
  [[nodiscard]] std::optional<std::vector<budget_reading>> ask() noexcept;
  /// Asks until the answer is about the books as they are, and calls `then`, which throws nothing,
  /// under the lock before the answer is entered.
  void look(const std::function<void()>& then = {}) noexcept;
  /// @return whether it gave up the lock meanwhile
  bool look_soon(guard& lock) noexcept;
  void warn_of(std::string_view model, std::string_view what, std::string_view why = {}) noexcept;
  void keep_estimates() noexcept;
  void write_changed_estimates() noexcept;
  [[nodiscard]] time_point now() const noexcept { return time_->now(); }

  budget_options options_;
  const lull::clock* time_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  budget_core core_;
  load_estimates estimates_;
  bool estimates_changed_ = false;  ///< since they were written
  bool keeping_estimates_ = false;  ///< somebody writes them, and looks whether they changed then
  std::size_t jobs_ = 0;
  bool looking_ = false;
  bool closed_ = false;
  time_point looked_at_{};
  time_point again_at_ = no_deadline;  ///< when what there was no memory for is tried again
};

}  // namespace lull::detail

#endif  // LULL_BUDGET_STATE_HPP
