#ifndef LULL_CORE_DEVICE_CONTEXT_HPP
#define LULL_CORE_DEVICE_CONTEXT_HPP

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/books.hpp"
#include "core/gate.hpp"
#include "core/generation.hpp"
#include "core/probe_thread.hpp"

namespace lull::detail {

/// What a hook is told.
struct hook_call {
  bool dropping = false;   ///< live objects are to be given up
  bool was_reset = false;  ///< for the hook after: whether the context is another one now
};

/// Called around a reset. Identified by its address in the list.
struct context_hook {
  using function = std::function<void(const hook_call&)>;

  context_hook(std::string called, function first, function last_look, function then)
      : name(std::move(called)),
        before(std::move(first)),
        check(std::move(last_look)),
        after(std::move(then)) {}

  const std::string name;
  const function before;
  const function check;
  const function after;

  /// Calls one of the functions, unless the hook was removed.
  void call(const function& which, const hook_call& what) {
    const std::lock_guard lock(calling_);
    if (!removed_) which(what);
  }
  /// No function is called any more. Waits for one that runs, but for its own thread.
  void remove() noexcept {
    const std::lock_guard lock(calling_);
    removed_ = true;
  }

 private:
  std::recursive_mutex calling_;
  bool removed_ = false;
};

/// What is common to all who use one physical device in this process, through whichever registry:
/// there is one GPU context, so there is one generation and one gate.
class device_context {
 public:
  /// The context state of a device, shared by all that ask with the same counter while one of them
  /// lives. A later one begins a generation: the backends that were closed may have ended the
  /// context, if nobody but them held it.
  static std::shared_ptr<device_context> of(generation_counter& counter);

  explicit device_context(generation_counter& counter) : generation(counter) {}
  device_context(const device_context&) = delete;
  device_context& operator=(const device_context&) = delete;

  device_gate gate;
  device_books books;

  generation_counter& generation;

  /// A call that hangs for one user of the device is known to the others.
  const std::shared_ptr<probe_thread> prober = std::make_shared<probe_thread>();

  /// Asks whether there is a context: a driver's answer does not depend on a management library
  /// that hangs.
  const std::shared_ptr<probe_thread> state_prober = std::make_shared<probe_thread>();

  /// Waits for the device's work before a reset, apart from the prober: observing goes on
  /// meanwhile.
  const std::shared_ptr<probe_thread> drainer = std::make_shared<probe_thread>();

  /// The right to reset, for one thread at a time; taken before the gate is closed.
  class turn {
   public:
    /// Waits for it until the deadline; then the result is false.
    turn(device_context& context, const clock& time, time_point deadline);
    ~turn();
    turn(const turn&) = delete;
    turn& operator=(const turn&) = delete;

    [[nodiscard]] explicit operator bool() const noexcept { return taken_; }

   private:
    device_context& context_;
    bool taken_ = false;
  };

  void add_hook(std::shared_ptr<context_hook> hook);
  /// Waits for a call of it that runs on another thread.
  void remove_hook(const std::shared_ptr<context_hook>& hook) noexcept;
  /// In the order of registration.
  [[nodiscard]] std::vector<std::shared_ptr<context_hook>> hooks() const;

 private:
  std::mutex turn_mutex_;
  std::condition_variable turn_changed_;
  bool turn_taken_ = false;

  mutable std::mutex hooks_mutex_;
  std::list<std::shared_ptr<context_hook>> hooks_;
};

}  // namespace lull::detail

#endif  // LULL_CORE_DEVICE_CONTEXT_HPP
