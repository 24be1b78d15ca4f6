#include <lull/c/participant.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "capi/device.hpp"
#include "capi/owned_user.hpp"
#include "capi/sleep_plan.hpp"
#include "capi/sleeper.hpp"
#include "capi/values.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

using lull::capi::checked_duration;
using lull::capi::expect_callback_ok;
using lull::capi::guard;
using lull::capi::owned_user;
using lull::capi::read_versioned;
using lull::capi::required;

struct lull_transition {
  lull::transition& value;
  lull_cancel cancel;  ///< looks at the transition's stop token
  std::optional<lull::error> failure = std::nullopt;
};

namespace {

class c_participant final : public lull::participant {
 public:
  /// @param user from.user, which `from` does not give back
  c_participant(const lull_participant& from, owned_user&& user)
      : user_(std::move(user)),
        name_(&required(from.name, "participant->name")),
        sleep_(&required(from.sleep, "participant->sleep")),
        wake_(&required(from.wake, "participant->wake")),
        devices_(lull::capi::devices_of(from.devices, from.device_count, "participant->devices")),
        next_upkeep_(from.next_upkeep),
        upkeep_(from.upkeep),
        deepen_(from.deepen),
        undo_deepen_(from.undo_deepen),
        deepened_(from.deepened) {
    if (name_.empty()) {
      throw lull::error(lull::status::invalid_argument, "participant->name is empty");
    }
    if (upkeep_ != nullptr) required(next_upkeep_, "participant->next_upkeep");
    if (next_upkeep_ != nullptr) required(upkeep_, "participant->upkeep");
    if (undo_deepen_ != nullptr || deepened_ != nullptr) required(deepen_, "participant->deepen");
    ask_for_next_upkeep();
  }

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] std::vector<lull::device> devices() const override { return devices_; }

  void sleep(const lull::sleep_plan& plan, lull::transition& current) override {
    call(sleep_, "sleep", plan, current);
  }
  void wake(const lull::sleep_plan& plan, lull::transition& current) override {
    call(wake_, "wake", plan, current);
    ask_after_wake(current);
  }

  void deepen(const lull::sleep_plan& from, const lull::sleep_plan& to,
              lull::transition& current) override {
    if (deepen_ == nullptr) return participant::deepen(from, to, current);
    call(deepen_, "deepen", from, to, current);
  }
  void undo_deepen(const lull::sleep_plan& from, const lull::sleep_plan& to,
                   lull::transition& current) override {
    if (undo_deepen_ != nullptr) call(undo_deepen_, "undo_deepen", from, to, current);
  }
  void deepened(const lull::sleep_plan& to, lull::transition& current) override {
    if (deepened_ != nullptr) call(deepened_, "deepened", to, current);
  }

  [[nodiscard]] std::optional<lull::time_point> next_upkeep() const noexcept override {
    const lull::time_point due = upkeep_due_.load(std::memory_order_relaxed);
    return due == lull::no_deadline ? std::nullopt : std::optional(due);
  }
  void upkeep(lull::time_point /*now*/) override {
    const lull_status code = upkeep_(user_.get());
    ask_for_next_upkeep();
    expect_callback_ok(code, "upkeep");
  }

 private:
  void call(lull_participant_fn function, const char* name, const lull::sleep_plan& plan,
            lull::transition& current) {
    const lull_sleep_plan given = lull::capi::plan_for_c(plan, tags_);
    during(current, name,
           [&](lull_transition& now) { return function(user_.get(), &given, &now); });
  }
  void call(lull_participant_deepen_fn function, const char* name, const lull::sleep_plan& from,
            const lull::sleep_plan& to, lull::transition& current) {
    const lull_sleep_plan before = lull::capi::plan_for_c(from, tags_);
    const lull_sleep_plan after = lull::capi::plan_for_c(to, deeper_tags_);
    during(current, name,
           [&](lull_transition& now) { return function(user_.get(), &before, &after, &now); });
  }
  template <class Function>
  static void during(lull::transition& current, const char* name, Function function) {
    lull_transition now{current, {std::stop_source(std::nostopstate), current.stop()}};
    const lull_status code = function(now);
    if (code != LULL_OK && now.failure) throw lull::error(*now.failure);
    expect_callback_ok(code, name);
  }

  /// Here, because whoever asks next_upkeep() holds the sleeper's lock.
  void ask_for_next_upkeep() {
    if (next_upkeep_ == nullptr) return;
    upkeep_due_.store(lull::no_deadline, std::memory_order_relaxed);
    const std::int64_t in_ns = next_upkeep_(user_.get());
    if (in_ns < 0) {
      lull::detail::fail(lull::status::callback,
                         "the next_upkeep callback returned {}; it must not be negative", in_ns);
    }
    upkeep_due_.store(lull::steady_clock().deadline_in(lull::duration{in_ns}),
                      std::memory_order_relaxed);
  }

  /// It is awake, and stays so whatever the answer.
  void ask_after_wake(lull::transition& current) noexcept {
    try {
      ask_for_next_upkeep();
    } catch (...) {
      try {
        current.add_problem(lull::detail::current_error(lull::status::callback, name_).what());
      } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for the words
      }
    }
  }

  const owned_user user_;  // first, so that it is given back last
  const std::string name_;
  const lull_participant_fn sleep_;
  const lull_participant_fn wake_;
  const std::vector<lull::device> devices_;
  int64_t (*const next_upkeep_)(void*);
  lull_status (*const upkeep_)(void*);
  const lull_participant_deepen_fn deepen_;
  const lull_participant_deepen_fn undo_deepen_;
  const lull_participant_fn deepened_;
  std::atomic<lull::time_point> upkeep_due_{lull::no_deadline};
  /// Kept, so that waking from a plan takes no memory that its sleep has not had.
  std::vector<lull_tag_action> tags_;
  std::vector<lull_tag_action> deeper_tags_;
};

}  // namespace

void lull_participant_init(lull_participant* participant) {
  if (participant == nullptr) return;
  *participant = {};
  participant->struct_size = sizeof *participant;
  participant->name = "";
}

lull_status lull_sleeper_add(lull_sleeper* sleeper, const lull_participant* participant) {
  return guard([&] {
    lull_participant defaults{};
    lull_participant_init(&defaults);
    const auto given =
        read_versioned(&required(participant, "participant"), defaults, "participant");
    owned_user user(given.user, given.release);
    lull::sleeper& to = required(sleeper, "sleeper").value;
    to.add(std::make_shared<c_participant>(given, std::move(user)));
  });
}

lull_status lull_transition_fail(lull_transition* transition, lull_status status, const char* why) {
  const lull_status result = lull::capi::failure_or_callback(status);
  const lull_status code = guard([&] {
    auto& failure = required(transition, "transition").failure;
    failure = lull::capi::callback_failure(result, why);
  });
  return code == LULL_ERROR_INVALID_ARGUMENT ? code : result;
}

int32_t lull_transition_stop_requested(const lull_transition* transition) {
  return transition != nullptr && transition->cancel.token.stop_requested() ? 1 : 0;
}

const lull_cancel* lull_transition_cancel(const lull_transition* transition) {
  return transition != nullptr ? &transition->cancel : nullptr;
}

lull_status lull_transition_set_progress(lull_transition* transition, uint64_t done_bytes,
                                         uint64_t total_bytes) {
  return guard([&] {
    const auto& progress = required(transition, "transition").value.progress();
    if (progress) progress({{}, done_bytes, total_bytes});
  });
}

lull_status lull_transition_add_released(lull_transition* transition, const lull_device* device,
                                         uint64_t bytes) {
  return guard([&] {
    lull::transition& to = required(transition, "transition").value;
    to.released(required(device, "device").value, lull::capi::figure_from(bytes));
  });
}

lull_status lull_transition_add_step(lull_transition* transition, const char* name,
                                     int64_t elapsed_ns, uint64_t bytes) {
  return guard([&] {
    lull::transition& to = required(transition, "transition").value;
    lull::step_report step;
    step.name = &required(name, "name");
    step.elapsed = checked_duration(elapsed_ns, 0, "elapsed_ns");
    step.bytes = bytes;
    to.add({std::move(step)}, {});
  });
}

lull_status lull_transition_add_problem(lull_transition* transition, const char* words) {
  return guard([&] {
    lull::transition& to = required(transition, "transition").value;
    to.add_problem(&required(words, "words"));
  });
}
