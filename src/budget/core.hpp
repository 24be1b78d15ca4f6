#ifndef LULL_BUDGET_CORE_HPP
#define LULL_BUDGET_CORE_HPP

#include <lull/budget.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace lull::detail {

inline double seconds_of(duration span) noexcept {
  return std::chrono::duration<double>(span).count();
}

/// Somebody who waits for a model.
struct budget_wait {
  std::size_t model = 0;
  time_point deadline = no_deadline;
  bool over = false;               ///< has what it waited for, or a failure
  bool must_load = false;          ///< what it has
  std::optional<error> failure{};  ///< or this
  std::function<void(budget::admission)> done{};
  /// Of one with `done`: it may be told to stop before it waits, and it waits once it is submitted.
  bool stopped = false;
  bool submitted = false;
  std::optional<std::stop_callback<std::function<void()>>> give_up{};
};
using budget_wait_ptr = std::shared_ptr<budget_wait>;

/// The decisions of a budget, as a machine that is told what happens and when: no lock, no thread,
/// no callback. What is to be carried out is left in `orders`, who has finished in `finished`.
///
/// There are two views of what models hold. The real one (`real`, real_held_) counts a model in
/// full until it has left, and from the moment that it may load: nobody is let in against it. The
/// planned one (books_) counts those that leave as gone, and those that were promised room as
/// there: plans are made against it, so that no two of them count on the same bytes.
///
/// Where there is no memory for a decision, pump() throws with nothing half done that matters: the
/// next one goes on from there. What is told of (confirm, left, ...) takes none.
class budget_core {
 public:
  struct limits {
    duration max_wait;
    std::uint32_t max_overtakes;
    duration patience;
    duration retry_after;
  };
  using amounts = std::vector<std::uint64_t>;  ///< one for each device

  struct slot {
    budget_model given;
    amounts need;
    bool measured = false;
    amounts real;
    amounts before;     ///< the load under way; what it held
    amounts leaves_to;  ///< while leaving: what will be left
    std::size_t leaving_level = 0;
    std::string leaves_because{};
    time_point since{};  ///< leaving, or loading, since
    bool stuck = false;  ///< has been leaving for too long
    bool died = false;   ///< while leaving
    /// Will leave once there is room for what it leaves on other devices.
    std::optional<plan_victim> deferred{};
    bool granted = false;
    bool promised = false;  ///< room is being made
    bool draining = false;  ///< gets no work, because somebody waited too long
    bool removed = false;   ///< a place for the next model that is added
    std::deque<budget_wait_ptr> waits;
    // Its entry in the queue.
    bool queued = false;
    std::uint64_t number = 0;
    time_point queued_at{};
    std::uint32_t overtaken = 0;
    double uses = 0;                    ///< as much of them as had not faded at its last use
    std::vector<bool> wake_measured{};  ///< from each level
  };
  struct order {
    std::size_t model;
    budget_eviction what;
  };

  budget_core(const std::vector<budget_device>& devices, limits bounds);

  std::size_t add(budget_model model, const std::optional<bytes_by_device>& measured);
  /// @return whether its need was measured and is not what counts any more
  bool change(budget_model model);
  void remove(std::size_t model);
  [[nodiscard]] std::size_t find(std::string_view model) const;
  [[nodiscard]] amounts to_amounts(const bytes_by_device& named, std::string_view model) const;
  [[nodiscard]] bytes_by_device to_named(const amounts& list) const;

  void submit(const budget_wait_ptr& wait, time_point now);
  /// Ends one that was never submitted, or that is out of its model's line.
  void finish(const budget_wait_ptr& wait, std::optional<error> failure);
  /// Ends a wait that is not over.
  void abandon(const budget_wait_ptr& wait, error why);
  /// Nobody wants any more what it waits for, or has.
  void forget(const budget_wait_ptr& wait, time_point now) noexcept;
  /// @return whether the estimate was wrong
  bool confirm(std::size_t model, const std::optional<amounts>& holds, time_point now) noexcept;
  void give_up(std::size_t model, time_point now) noexcept;
  void end_use(std::size_t model, time_point now) noexcept;
  void left(std::size_t model, bool succeeded, time_point now) noexcept;
  void read(const std::vector<budget_reading>& readings) noexcept;
  // What happens without a request (outside.cpp).
  /// @param lost also where it is used or waited for
  /// @return whether it leaves now
  bool put_away(std::size_t model, std::size_t level, bool lost, time_point now);
  void withdraw(std::size_t model);
  void correct(std::size_t model, const amounts& holds);
  void pin(std::size_t model, bool pinned) noexcept;
  /// Decides all that can be decided now.
  void pump(time_point now);
  [[nodiscard]] time_point next_due(time_point now) const;

  [[nodiscard]] plan_result plan_for(std::size_t model, time_point now, bool take_busy) const;
  [[nodiscard]] budget_eviction eviction_of(const plan_victim& victim) const;
  /// Why a model is not in.
  [[nodiscard]] std::string words_for(std::size_t model, time_point now) const;

  [[nodiscard]] const plan_books& books() const noexcept { return books_; }
  [[nodiscard]] const std::vector<slot>& slots() const noexcept { return slots_; }
  [[nodiscard]] const amounts& real_held() const noexcept { return real_held_; }
  [[nodiscard]] bool anybody_waits() const noexcept { return queue_length_ > 0; }
  /// Whether models hold more of a device than they may.
  [[nodiscard]] bool lacks_room() const noexcept;
  /// Changes whenever what models should hold does: a reading from before is of no use.
  [[nodiscard]] std::uint64_t version() const noexcept { return version_; }

  std::vector<order> orders;
  std::vector<budget_wait_ptr> finished;
  budget_counters counters;

 private:
  [[nodiscard]] plan_model& model_of(std::size_t index) { return books_.models[index]; }
  void set_real(std::size_t index, const amounts& list) noexcept;
  void set_planned(std::size_t index, const amounts& list) noexcept;
  void check(const budget_model& model) const;
  [[nodiscard]] std::vector<plan_level> levels_of(const budget_model& model) const;
  [[noreturn]] void refuse_busy(std::size_t index, const char* verb) const;
  [[nodiscard]] std::uint64_t limit(std::size_t device) const noexcept;
  [[nodiscard]] amounts ready_amounts(std::size_t index) const;
  [[nodiscard]] std::uint64_t uncertain_on(std::size_t device) const noexcept;
  [[nodiscard]] bool fits_really(std::size_t index) const;
  [[nodiscard]] bool uses_same_device(std::size_t a, std::size_t b) const;
  void rest(std::size_t index) noexcept;
  void count_uses(std::size_t index, double count, time_point now) noexcept;
  void note_wake(std::size_t index, double took_seconds) noexcept;
  void enqueue(std::size_t index, time_point now);
  void leave_queue(std::size_t index) noexcept;
  void drop(const budget_wait_ptr& wait) noexcept;
  void serve(const budget_wait_ptr& wait, time_point now);

  [[nodiscard]] bool fits_alone(std::size_t index, time_point now) const;
  void expire(time_point now);
  void lose_patience(time_point now);
  void take_back_promises(time_point now);
  [[nodiscard]] std::vector<std::size_t> ordered_queue(time_point now) const;
  void decide(std::size_t index, time_point now, const std::vector<std::size_t>& queue,
              std::vector<bool>& blocked);
  void let_leave(const plan_result& plan, const std::string& whom, time_point now);
  void start_leaving(const plan_victim& victim, std::string why, time_point now) noexcept;
  [[nodiscard]] budget_eviction order_of(std::size_t index) const;
  void leave_to(std::size_t index, std::size_t level) noexcept;
  void start_deferred();
  [[nodiscard]] amounts leaving_amounts(std::size_t index) const;
  [[nodiscard]] bool has_room_to_leave(std::size_t index) const;
  [[nodiscard]] bool somebody_leaves() const noexcept;
  void start(std::size_t index);
  void promise(std::size_t index, time_point now);
  void grant(std::size_t index, time_point now);
  void refuse(std::size_t index, time_point now);
  void count_overtaking(std::size_t index, const std::vector<std::size_t>& queue);
  void serve_ready(time_point now);
  void make_room(time_point now);

  plan_books books_;
  std::vector<slot> slots_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
  std::vector<std::size_t> free_places_;
  amounts real_held_;
  limits bounds_;
  std::size_t queue_length_ = 0;
  std::uint64_t next_number_ = 0;
  std::uint64_t version_ = 0;
};

}  // namespace lull::detail

#endif  // LULL_BUDGET_CORE_HPP
