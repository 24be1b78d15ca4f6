#ifndef LULL_POLICY_GATE_HPP
#define LULL_POLICY_GATE_HPP

#include <lull/sleeper.hpp>

#include <atomic>
#include <cstdint>

namespace lull::detail {

/// Counts leases and knows the state, in one word: so entering and leaving is one atomic operation
/// each, and a lease is given out exactly if the state was `awake` at that operation.
///
/// The state is changed by one thread at a time (under the sleeper's mutex); entering and leaving
/// need no lock.
class gate {
 public:
  /// Takes a lease if awake. After false the caller must leave() too: the attempt was counted.
  [[nodiscard]] bool try_enter() noexcept {
    // Acquire: what a wake has written is seen by the work under this lease.
    const std::uint64_t before = word_.fetch_add(1, std::memory_order_acquire);
    return state_in(before) == sleep_state::awake;
  }

  /// One more lease for who holds one already, whatever the state.
  void enter_again() noexcept { word_.fetch_add(1, std::memory_order_acquire); }

  /// Gives a lease, or a failed attempt, back.
  /// @return whether somebody may be waiting for this: the last one out, and not awake
  [[nodiscard]] bool leave() noexcept {
    // Release: the work under this lease is done before whoever drains goes on.
    const std::uint64_t before = word_.fetch_sub(1, std::memory_order_release);
    return leases_in(before) == 1 && state_in(before) != sleep_state::awake;
  }

  /// Changes from awake with no lease out to `next`, or does nothing.
  [[nodiscard]] bool close_if_idle(sleep_state next) noexcept {
    std::uint64_t expected = pack(sleep_state::awake);
    return word_.compare_exchange_strong(expected, pack(next), std::memory_order_acq_rel);
  }

  /// Called by one thread at a time.
  void set_state(sleep_state next) noexcept {
    const std::uint64_t now = word_.load(std::memory_order_relaxed);
    word_.fetch_xor(pack(state_in(now)) ^ pack(next), std::memory_order_acq_rel);
  }

  [[nodiscard]] sleep_state state() const noexcept {
    return state_in(word_.load(std::memory_order_acquire));
  }
  [[nodiscard]] std::uint32_t leases() const noexcept {
    return leases_in(word_.load(std::memory_order_acquire));
  }

 private:
  static constexpr unsigned state_shift = 32;

  static constexpr std::uint64_t pack(sleep_state state) noexcept {
    return static_cast<std::uint64_t>(state) << state_shift;
  }
  static constexpr sleep_state state_in(std::uint64_t word) noexcept {
    return static_cast<sleep_state>(word >> state_shift);
  }
  static constexpr std::uint32_t leases_in(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word);
  }

  std::atomic<std::uint64_t> word_{pack(sleep_state::awake)};
};

}  // namespace lull::detail

#endif  // LULL_POLICY_GATE_HPP
