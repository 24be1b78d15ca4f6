#ifndef LULL_RESET_HOOK_RUN_HPP
#define LULL_RESET_HOOK_RUN_HPP

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/device_context.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {

/// Adds what is being handled to a list of problems. Where there is no memory to say it, the reset
/// goes on all the same.
/// @param hook whose problem it is; empty: none's
inline void note_problem(std::vector<std::string>& problems, std::string_view hook = {}) noexcept {
  const error failure = current_error(status::callback);
  try {
    problems.push_back(hook.empty() ? failure.what()
                                    : text("reset hook '{}' (after): {}", hook, failure.what()));
  } catch (...) {  // NOLINT(bugprone-empty-catch)
  }
}

/// The hooks that ran before, and the promise that their counterparts run after.
class hook_run {
 public:
  hook_run(device_context& context, bool dropping)
      : context_(context), hooks_(context.hooks()), dropping_(dropping) {}

  /// @throws error: what a hook threw, with its name
  void before() {
    for (called_from_ = hooks_.size(); called_from_ != 0; --called_from_) {
      context_hook& hook = *hooks_[called_from_ - 1];
      call(hook, hook.before);
    }
  }

  /// With the gate closed. Asks those too that came after before() had begun.
  /// @throws as before()
  void check() const {
    for (const auto& hook : context_.hooks()) call(*hook, hook->check);
  }

  /// Calls the counterparts of those that were called before, and collects what they throw.
  void after(bool was_reset, std::vector<std::string>& problems) noexcept {
    for (std::size_t i = called_from_; i < hooks_.size(); ++i) {
      try {
        hooks_[i]->call(hooks_[i]->after, {dropping_, was_reset});
      } catch (...) {
        note_problem(problems, hooks_[i]->name);
      }
    }
  }

 private:
  void call(context_hook& hook, const context_hook::function& which) const {
    try {
      hook.call(which, {dropping_, false});
    } catch (...) {
      throw current_error(status::callback, text("reset hook '{}'", hook.name));
    }
  }

  const device_context& context_;
  std::vector<std::shared_ptr<context_hook>> hooks_;
  std::size_t called_from_ = 0;
  bool dropping_;
};

}  // namespace lull::detail

#endif  // LULL_RESET_HOOK_RUN_HPP
