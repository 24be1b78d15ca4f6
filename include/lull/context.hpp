#ifndef LULL_CONTEXT_HPP
#define LULL_CONTEXT_HPP

/// @file
/// What a program makes once per process and that really lives in the GPU context: kernel
/// attributes, library handles, streams, captured graphs. A reset of the device ends them all.
///
/// `once_per_context` and `context_local` remake such things by themselves, `context_bound` refuses
/// to hand them out, and `reset_hook` calls whatever else has to be told.

#include <lull/detail/requires_cxx17.hpp>
#include <lull/device.hpp>
#include <lull/error.hpp>
#include <lull/export.h>
#include <lull/once.h>
#include <lull/reset.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace lull {

namespace detail {
struct once_node;
}

/// Runs something once per context of a device: what a function-local `static bool done` does once
/// per process, and then never again after a reset. Thread-safe, and as cheap as that flag. Made
/// for static storage: its constructor is a constant and its destructor does nothing.
class LULL_API once_per_context {
 public:
  constexpr once_per_context() noexcept = default;
  once_per_context(const once_per_context&) = delete;
  once_per_context& operator=(const once_per_context&) = delete;

  /// Runs `setup` unless it has run in the device's present context: then this is three atomic
  /// loads. Others that want it for this device wait meanwhile; if it throws, the exception passes
  /// and the next call tries again. `setup` must not call this object for the same device.
  template <class Setup>
  void call(const device& where, Setup&& setup) {
    call(where.generation_counter(), std::forward<Setup>(setup));
  }
  /// The same for who keeps no device: the counter is valid for ever.
  template <class Setup>
  void call(const lull_generation& where, Setup&& setup) {
    lull_once& memory = where.device <= near_count ? near_[where.device - 1] : far(where.device);
    if (lull_once_is_done(&memory, &where)) return;
    auto work = [&setup] { setup(); };
    run(
        memory, where, [](void* it) { (*static_cast<decltype(work)*>(it))(); }, &work);
  }

 private:
  static constexpr std::uint64_t near_count = 16;

  [[nodiscard]] lull_once& far(std::uint64_t device);
  static void run(lull_once& memory, const lull_generation& where, void (*work)(void*), void* it);

  lull_once near_[near_count] = {};  ///< by device->generation_counter().device
  /// What remembers the devices beyond those; 24 bytes each, which are never given back.
  std::atomic<detail::once_node*> far_{nullptr};
};

/// A value that was made in one context: handed out only as long as that context lives. For what
/// cannot be remade without its owner: a captured graph, a library handle.
template <class T>
class context_bound {
 public:
  context_bound(device where, T value)
      : where_(std::move(where)), generation_(where_.generation()), value_(std::move(value)) {}

  [[nodiscard]] bool stale() const noexcept { return where_.generation() != generation_; }

  /// @throws error (stale) when the device was reset since
  [[nodiscard]] T& get() {
    expect_fresh();
    return value_;
  }
  [[nodiscard]] const T& get() const {
    expect_fresh();
    return value_;
  }

  /// Replaces the value by one that was made in the present context.
  void remake(T value) {
    value_ = std::move(value);
    generation_ = where_.generation();
  }

 private:
  void expect_fresh() const {
    if (!stale()) return;
    throw error(status::stale, where_.name() + ": made in context generation " +
                                   std::to_string(generation_) +
                                   ", which a reset ended; make it "
                                   "again (now: " +
                                   std::to_string(where_.generation()) + ")");
  }

  device where_;
  std::uint64_t generation_;
  T value_;
};

/// A T per context of a device: made when first asked for, destroyed before a reset takes its
/// context away, and made again after it. T's destructor may therefore use the context.
///
/// While a shared pointer from get() is held elsewhere a reset is refused (`busy`). Thread-safe.
template <class T>
class context_local {
 public:
  using factory = std::function<std::unique_ptr<T>(const device&)>;

  /// @param name for reports and errors
  context_local(device where, std::string name, factory make)
      : state_(std::make_shared<state>(std::move(where), std::move(name), std::move(make))),
        hook_(
            state_->where, state_->name, [s = state_](const reset_event&) { s->drop(); }, {},
            [s = state_](const reset_event&) { s->expect_none(); }) {}

  /// The value of the present context; made now if there is none. What the factory throws passes.
  [[nodiscard]] std::shared_ptr<T> get() {
    const std::lock_guard lock(state_->mutex);
    if (!state_->value) state_->value = state_->make(state_->where);
    return state_->value;
  }

 private:
  struct state {
    state(device on, std::string named, factory from)
        : where(std::move(on)), name(std::move(named)), make(std::move(from)) {}

    void drop() {
      std::shared_ptr<T> gone;
      const std::lock_guard lock(mutex);
      if (value.use_count() > 1) {
        throw error(status::busy, where.name() + ": '" + name + "' is in use");
      }
      gone = std::move(value);
      value.reset();
    }

    /// It may have been made again since drop(), or be in the making, and would live in the context
    /// that goes. Whoever makes it holds the mutex and may wait for the device: so no waiting here.
    void expect_none() {
      const std::unique_lock lock(mutex, std::try_to_lock);
      if (lock && !value) return;
      throw error(status::busy, where.name() + ": '" + name + "' was made again meanwhile");
    }

    const device where;
    const std::string name;
    const factory make;
    std::mutex mutex;
    std::shared_ptr<T> value;
  };

  std::shared_ptr<state> state_;
  reset_hook hook_;
};

}  // namespace lull

#endif  // LULL_CONTEXT_HPP
