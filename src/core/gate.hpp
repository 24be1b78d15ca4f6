#ifndef LULL_CORE_GATE_HPP
#define LULL_CORE_GATE_HPP

#include <lull/clock.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>

namespace lull::detail {

/// Keeps a device's operations and its reset apart. Operations pass through together, at one atomic
/// operation each way; closing waits for those inside and holds up those that come.
class device_gate {
 public:
  /// An operation under way.
  class pass {
   public:
    explicit pass(device_gate* through) noexcept : gate_(through) {}
    pass(pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    pass& operator=(pass&&) = delete;
    ~pass() {
      if (gate_ != nullptr) gate_->leave();
    }

   private:
    device_gate* gate_;
  };

  /// Waits while the gate is closed, but for the thread that closed it, which passes.
  [[nodiscard]] pass enter() {
    while (true) {
      // Acquire: what a reset has done is seen by the operations after it.
      if ((word_.fetch_add(1, std::memory_order_acquire) & closed_bit) == 0) return pass(this);
      leave();
      if (closer_.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
        return pass(nullptr);
      }
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !closed(); });
    }
  }

  /// Closes the gate, which nobody else has closed, and waits for the operations inside.
  /// @return whether they left before the deadline; if not, the gate is open again
  [[nodiscard]] bool close(const clock& time, time_point deadline) {
    std::unique_lock lock(mutex_);
    closer_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    word_.fetch_or(closed_bit, std::memory_order_acq_rel);
    while (inside() != 0) {
      if (time.now() >= deadline) {
        lock.unlock();
        open();
        return false;
      }
      time.wait_until(changed_, lock, deadline);
    }
    return true;
  }

  void open() noexcept {
    const std::lock_guard lock(mutex_);
    closer_.store(std::thread::id{}, std::memory_order_relaxed);
    word_.fetch_and(~closed_bit, std::memory_order_acq_rel);
    changed_.notify_all();
  }

 private:
  static constexpr std::uint64_t closed_bit = std::uint64_t{1} << 63;

  [[nodiscard]] bool closed() const noexcept {
    return (word_.load(std::memory_order_acquire) & closed_bit) != 0;
  }
  [[nodiscard]] std::uint64_t inside() const noexcept {
    return word_.load(std::memory_order_acquire) & ~closed_bit;
  }

  void leave() noexcept {
    // Release: the operation is over before whoever closes goes on.
    const std::uint64_t before = word_.fetch_sub(1, std::memory_order_acq_rel);
    if (before != (closed_bit | 1)) return;
    // The closer looks under the mutex before it waits, so this cannot come too early for it.
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }

  std::atomic<std::uint64_t> word_{0};
  std::atomic<std::thread::id> closer_{};
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace lull::detail

#endif  // LULL_CORE_GATE_HPP
