#ifndef LULL_POLICY_PARTICIPANTS_HPP
#define LULL_POLICY_PARTICIPANTS_HPP

#include <lull/reset.hpp>
#include <lull/sleeper.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace lull::detail {

/// How a transition of all participants ended.
struct outcome {
  std::optional<error> failure;
  bool rolled_back = true;  ///< after a failure: whether all is as it was before
};

/// The participants of a sleeper, and which of them are asleep. A transition is a list of undoable
/// steps, one a participant. Used by one thread at a time.
class participants {
 public:
  participants() = default;
  ~participants();
  participants(const participants&) = delete;
  participants& operator=(const participants&) = delete;

  void add(std::shared_ptr<participant> who);
  /// How the process is suspended, if a plan says so.
  void set_suspension(const sleeper_suspend_options& options, duration timeout) {
    suspension_ = options;
    suspend_timeout_ = timeout;
  }

  /// How the image of the process is replaced, if a plan says so.
  /// @param check throws what is known to be in the way
  /// @param replace does not return but by throwing: then all is as it was
  void set_rebirth(std::function<void()> check, std::function<void(transition&)> replace) {
    check_rebirth_ = std::move(check);
    replace_image_ = std::move(replace);
  }

  /// All are asleep already.
  void adopt_sleep();

  /// Puts those that are awake to sleep, the last one added first.
  /// @param reset how contexts are reset, if the plan says so
  outcome sleep(const sleep_plan& plan, const reset_options& reset, transition& current);
  /// Wakes those that are asleep, the first one added first.
  outcome wake(const sleep_plan& plan, transition& current);

  /// Takes those that sleep by `from` deeper, the last one added first.
  outcome deepen(const sleep_plan& from, const sleep_plan& to, const reset_options& reset,
                 transition& current);

  /// When the first of them has something to do; absent: none has.
  [[nodiscard]] std::optional<time_point> next_upkeep() const;
  /// Those who have something to do. Each is due again after a while at the earliest, whatever it
  /// says: one that always has something to do must not keep the others from their work.
  [[nodiscard]] std::vector<std::shared_ptr<participant>> take_due(time_point now);

  /// Of all of them, each once.
  [[nodiscard]] std::vector<device> devices() const;

  /// Whether any of them is asleep.
  [[nodiscard]] bool any_asleep() const noexcept;
  /// Whether none is awake.
  [[nodiscard]] bool all_asleep() const noexcept;

 private:
  struct member {
    std::shared_ptr<participant> who;
    bool asleep = false;
    /// How it sleeps, if deeper than the others: what took it there could not be taken back.
    std::shared_ptr<const sleep_plan> beyond = nullptr;
    time_point no_upkeep_before = time_point::min();
    [[nodiscard]] std::optional<time_point> next_upkeep() const;
    /// How it sleeps.
    /// @param plan of the others
    [[nodiscard]] const sleep_plan& sleeps_by(const sleep_plan& plan) const noexcept {
      return beyond ? *beyond : plan;
    }
  };

  outcome wake_members(const sleep_plan& plan, transition& current);
  static void wake_again(const std::vector<member*>& asleep, const sleep_plan& plan,
                         transition& current, outcome& result);
  [[nodiscard]] std::optional<error> give_up_contents(const sleep_plan& from, const sleep_plan& to,
                                                      transition& current,
                                                      std::vector<member*>& done);
  void tell_deepened(const sleep_plan& to, transition& current);
  static void undo_deepen(const std::vector<member*>& deeper, const sleep_plan& from,
                          const std::shared_ptr<const sleep_plan>& to, transition& current,
                          outcome& result);
  [[nodiscard]] std::vector<device> devices_to_reset() const;
  [[nodiscard]] std::vector<device> prepare_suspension(const sleep_plan& plan) const;
  outcome replace_image(transition& current) const;

  std::vector<member> list_;
  sleeper_suspend_options suspension_;
  duration suspend_timeout_{};
  std::function<void()> check_rebirth_;
  std::function<void(transition&)> replace_image_;
};

/// Whether a plan gives nothing up but what is only kept for speed.
[[nodiscard]] bool only_trims(const sleep_plan& plan) noexcept;

/// Lets memory take part.
std::shared_ptr<participant> make_participant(memory& what);

}  // namespace lull::detail

#endif  // LULL_POLICY_PARTICIPANTS_HPP
