#include "policy/participants.hpp"

#include <lull/error.hpp>

#include <new>

#include <fmt/format.h>

namespace lull::detail {
namespace {

/// Runs `work` for a participant; what it throws comes back as an error that names it.
template <class Work>
std::optional<error> attempt(const participant& who, Work&& work) {
  try {
    work();
    return std::nullopt;
  } catch (const error& failure) {
    return failure.with_context(who.name());
  } catch (const std::bad_alloc&) {
    return error(status::out_of_host_memory, fmt::format("{}: out of host memory", who.name()));
  } catch (const std::exception& failure) {
    return error(status::callback, fmt::format("{}: {}", who.name(), failure.what()));
  } catch (...) {
    return error(status::callback, fmt::format("{}: an exception of unknown type", who.name()));
  }
}

void add_failed_undo(outcome& result, const error& undo_failure) {
  result.rolled_back = false;
  result.failure =
      error(result.failure->code(), fmt::format("{}; taking it back failed too: {}",
                                                result.failure->what(), undo_failure.what()));
}

/// A rollback runs to its end: it is not cancelled, and its progress is not the transition's.
transition quiet_transition() {
  return {steady_clock(), {}, {}};
}

class memory_participant final : public participant {
 public:
  explicit memory_participant(memory& what) : memory_(what) {}

  [[nodiscard]] std::string_view name() const noexcept override { return "memory"; }

  void sleep(const sleep_plan& plan, transition& current) override {
    current.add(memory_.evict(plan.contents, {plan.backing, current.progress(), current.stop()}));
  }

  void wake(transition& current) override {
    current.add(
        memory_.restore({}, {backing_store::host_memory(), current.progress(), current.stop()}));
  }

 private:
  memory& memory_;
};

}  // namespace

outcome participants::sleep(const sleep_plan& plan, transition& current) {
  outcome result;
  std::vector<member*> done;
  for (auto each = list_.rbegin(); each != list_.rend(); ++each) {
    if (each->asleep) continue;
    result.failure = attempt(*each->who, [&] { each->who->sleep(plan, current); });
    if (result.failure) break;
    each->asleep = true;
    done.push_back(&*each);
  }
  if (!result.failure) return result;

  for (auto at = done.rbegin(); at != done.rend(); ++at) {
    member* const each = *at;
    transition undo = quiet_transition();
    if (const auto failure = attempt(*each->who, [&] { each->who->wake(undo); })) {
      add_failed_undo(result, *failure);
    } else {
      each->asleep = false;
    }
  }
  return result;
}

outcome participants::wake(const sleep_plan& plan, transition& current) {
  outcome result;
  std::vector<member*> done;
  for (member& each : list_) {
    if (!each.asleep) continue;
    result.failure = attempt(*each.who, [&] { each.who->wake(current); });
    if (result.failure) break;
    each.asleep = false;
    done.push_back(&each);
  }
  if (!result.failure) return result;

  for (auto at = done.rbegin(); at != done.rend(); ++at) {
    member* const each = *at;
    transition undo = quiet_transition();
    if (const auto failure = attempt(*each->who, [&] { each->who->sleep(plan, undo); })) {
      add_failed_undo(result, *failure);
    } else {
      each->asleep = true;
    }
  }
  return result;
}

std::shared_ptr<participant> make_participant(memory& what) {
  return std::make_shared<memory_participant>(what);
}

}  // namespace lull::detail
