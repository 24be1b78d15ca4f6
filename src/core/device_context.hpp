#ifndef LULL_CORE_DEVICE_CONTEXT_HPP
#define LULL_CORE_DEVICE_CONTEXT_HPP

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/device_books.hpp"
#include "core/device_gate.hpp"
#include "core/probe_thread.hpp"

namespace lull::detail {

/// What a hook is told.
struct hook_call {
  bool dropping = false;   ///< live objects are to be given up
  bool was_reset = false;  ///< for the hook after: whether the context is another one now
};

/// Called around a reset. Identified by its address in the list.
struct context_hook {
  std::string name;
  std::function<void(const hook_call&)> before;
  std::function<void(const hook_call&)> after;
};

/// What is common to all who use one physical device in this process, through whichever registry:
/// there is one GPU context, so there is one generation and one gate.
class device_context {
 public:
  /// The context state of a device, shared by all that ask with the same key while one of them
  /// lives.
  static std::shared_ptr<device_context> of(const std::string& key);

  device_gate gate;
  device_books books;

  /// How often the context was reset. Read without a lock on hot paths.
  std::atomic<std::uint64_t> generation{0};

  /// A call that hangs for one user of the device is known to the others.
  const std::shared_ptr<probe_thread> prober = std::make_shared<probe_thread>();

  /// Waits for the device's work before a reset, apart from the prober: observing goes on meanwhile.
  const std::shared_ptr<probe_thread> drainer = std::make_shared<probe_thread>();

  /// One reset at a time; taken before the gate is closed.
  std::timed_mutex resetting;

  [[nodiscard]] std::shared_ptr<context_hook> add_hook(context_hook hook);
  void remove_hook(const std::shared_ptr<context_hook>& hook) noexcept;
  /// In the order of registration. Those that are removed meanwhile stay alive but may be called
  /// once more.
  [[nodiscard]] std::vector<std::shared_ptr<context_hook>> hooks() const;

 private:
  mutable std::mutex hooks_mutex_;
  std::list<std::shared_ptr<context_hook>> hooks_;
};

}  // namespace lull::detail

#endif  // LULL_CORE_DEVICE_CONTEXT_HPP
