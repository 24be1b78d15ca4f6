#ifndef LULL_BUDGET_CORE_HPP
#define LULL_BUDGET_CORE_HPP

#include <lull/budget.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lull::detail {

/// Somebody who waits for a model.
struct budget_wait {
  std::size_t model = 0;
  time_point deadline = no_deadline;
  bool over = false;               ///< has what it waited for, or a failure
  bool must_load = false;          ///< what it has
  std::optional<error> failure{};  ///< or this
  std::function<void(budget::admission)> done{};
};
using budget_wait_ptr = std::shared_ptr<budget_wait>;

/// The decisions of a budget, as a machine that is told what happens and when: no lock, no thread,
/// no callback. What is to be carried out is left in `orders`, who has finished in `finished`.
///
/// There are two views of what models hold. The real one (`real`, real_held_) counts a model in
/// full until it has left, and from the moment that it may load: nobody is let in against it. The
/// planned one (books_) counts those that leave as gone, and those that were promised room as
/// there: plans are made against it, so that no two of them count on the same bytes.
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
    time_point since{};  ///< leaving, or loading, since
    bool stuck = false;  ///< has been leaving for too long
    /// Will leave once there is room for what it leaves on other devices.
    std::optional<plan_victim> deferred{};
    bool granted = false;
    bool promised = false;  ///< room is being made
    bool draining = false;  ///< gets no work, because somebody waited too long
    std::deque<budget_wait_ptr> waits;
    // Its entry in the queue.
    bool queued = false;
    std::uint64_t number = 0;
    time_point queued_at{};
    std::uint32_t overtaken = 0;
    // How often it is used.
    double uses = 0;
    time_point counted_at{};
  };
  struct order {
    std::size_t model;
    budget_eviction what;
  };

  budget_core(const std::vector<budget_device>& devices, limits bounds);

  std::size_t add(budget_model model, const std::optional<bytes_by_device>& measured);
  [[nodiscard]] std::size_t find(std::string_view model) const;
  [[nodiscard]] amounts to_amounts(const bytes_by_device& named, std::string_view model) const;
  [[nodiscard]] bytes_by_device to_named(const amounts& list) const;

  void submit(const budget_wait_ptr& wait, time_point now);
  /// Ends a wait that is not over.
  void abandon(budget_wait_ptr wait, error why, time_point now);
  /// @return whether the estimate was wrong
  bool confirm(std::size_t model, const std::optional<amounts>& holds, time_point now);
  void give_up(std::size_t model, time_point now);
  void end_use(std::size_t model, time_point now);
  void left(std::size_t model, bool succeeded, time_point now);
  void read(const std::vector<budget_reading>& readings);
  // What happens without a request (outside.cpp).
  /// @param lost also where it is used or waited for
  /// @return whether it leaves now
  bool put_away(std::size_t model, std::size_t level, bool lost, time_point now);
  void withdraw(std::size_t model, time_point now);
  void correct(std::size_t model, const amounts& holds);
  void pin(std::size_t model, bool pinned);
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
  void set_real(std::size_t index, const amounts& list);
  void set_planned(std::size_t index, const amounts& list);
  [[nodiscard]] std::uint64_t limit(std::size_t device) const noexcept;
  [[nodiscard]] amounts ready_amounts(std::size_t index) const;
  [[nodiscard]] bool fits_really(std::size_t index) const;
  [[nodiscard]] bool uses_same_device(std::size_t a, std::size_t b) const;
  void rest(std::size_t index) noexcept;
  void count_use(std::size_t index, time_point now);
  void finish(const budget_wait_ptr& wait, std::optional<error> failure);
  void enqueue(std::size_t index, time_point now);
  void leave_queue(std::size_t index);

  [[nodiscard]] bool fits_alone(std::size_t index, time_point now) const;
  void expire(time_point now);
  void lose_patience(time_point now);
  void take_back_promises(time_point now);
  [[nodiscard]] std::vector<std::size_t> ordered_queue(time_point now) const;
  void decide(std::size_t index, time_point now, const std::vector<std::size_t>& queue,
              std::vector<bool>& blocked);
  void start_leaving(const plan_victim& victim, time_point now);
  [[nodiscard]] budget_eviction order_of(std::size_t index) const;
  void leave_to(std::size_t index, std::size_t level);
  void start_deferred();
  void promise(std::size_t index, time_point now);
  void grant(std::size_t index, time_point now);
  void refuse(std::size_t index, time_point now);
  void count_overtaking(std::size_t index, const std::vector<std::size_t>& queue);
  void serve_ready(time_point now);
  void make_room(time_point now);

  plan_books books_;
  std::vector<slot> slots_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
  amounts real_held_;
  limits bounds_;
  std::size_t queue_length_ = 0;
  std::uint64_t next_number_ = 0;
  std::uint64_t version_ = 0;
};

}  // namespace lull::detail

#endif  // LULL_BUDGET_CORE_HPP
