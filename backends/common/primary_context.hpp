#ifndef LULL_BACKENDS_COMMON_PRIMARY_CONTEXT_HPP
#define LULL_BACKENDS_COMMON_PRIMARY_CONTEXT_HPP

#include <mutex>
#include <optional>

namespace lull::backends {

/// A device's primary context, by the driver calls that CUDA and MUSA have in common. It is made
/// current by the driver's stack and not by the runtime's set-device, which makes a context on the
/// device that it is set to, and so would make one when a thread's device is put back: CUDA's since
/// 12.0, and MUSA's calls muDevicePrimaryCtxRetain and muCtxSetCurrent (seen in traces of MUSA
/// 4.3.5). Looking at it makes none.
template <class Api>
class primary_context {
 public:
  using device_type = typename Api::driver_device;
  using context_type = typename Api::context;

  primary_context(const Api& api, device_type device) : api_(api), device_(device) {}
  ~primary_context() { let_go(); }
  primary_context(const primary_context&) = delete;
  primary_context& operator=(const primary_context&) = delete;

  [[nodiscard]] bool is_active() const {
    unsigned flags = 0;
    int active = 0;
    api_.check(api_.context_state(device_, &flags, &active), api_.context_state.name);
    return active != 0;
  }

  /// The context, made if there is none. Kept alive from then on, until a reset.
  [[nodiscard]] context_type retain() {
    const std::lock_guard lock(mutex_);
    return retain_locked(is_active());
  }

  /// The context, kept alive from then on; nothing where there is none.
  [[nodiscard]] std::optional<context_type> retain_if_active() {
    const std::lock_guard lock(mutex_);
    if (!is_active()) return std::nullopt;
    return retain_locked(true);
  }

  /// By the driver, on the device: the runtimes' own resets come to the same call, but need the
  /// context to be current, and CUDA's leaves the dead one current afterwards.
  void reset() {
    const std::lock_guard lock(mutex_);
    api_.check(api_.context_reset(device_), api_.context_reset.name);
    // A reset does not end what was retained (cuda.h, cuDevicePrimaryCtxReset). Ours is ended after
    // it, so that a failed reset leaves all as it was.
    let_go();
  }

  /// Calls `ask` with the context current, if it is one of ours that is alive. Not during a reset,
  /// which takes it away, and then there is nothing to ask.
  template <class Ask>
  void ask_within(const Ask& ask) const {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || context_ == context_type{} || !is_active()) return;
    if (static_cast<int>(api_.context_push(context_)) != 0) return;
    ask();
    context_type popped{};
    static_cast<void>(api_.context_pop(&popped));
  }

 private:
  context_type retain_locked(bool active) {
    // Somebody else may have reset the device since, with calls of their own. Then the handle that
    // we hold names a dead context, though a new one may get the same value.
    if (context_ == context_type{} || !active) {
      // A reset does not end what was retained: retained twice and released once, the next context
      // would outlive us.
      let_go();
      api_.check(api_.context_retain(&context_, device_), api_.context_retain.name);
    }
    return context_;
  }

  /// Ends what we retained. That it may fail, the context being gone, is of no interest.
  void let_go() noexcept {
    if (context_ == context_type{}) return;
    static_cast<void>(api_.context_release(device_));
    context_ = context_type{};
  }

  const Api& api_;
  const device_type device_;
  mutable std::mutex mutex_;  ///< guards `context_`
  context_type context_{};
};

/// Has a context current for this thread while it exists, and then what was current before it.
template <class Api>
class current_context {
 public:
  current_context(const Api& api, typename Api::context context) : api_(api) {
    api_.check(api_.context_push(context), api_.context_push.name);
  }
  ~current_context() {
    typename Api::context popped{};
    static_cast<void>(api_.context_pop(&popped));
  }
  current_context(const current_context&) = delete;
  current_context& operator=(const current_context&) = delete;

 private:
  const Api& api_;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_PRIMARY_CONTEXT_HPP
