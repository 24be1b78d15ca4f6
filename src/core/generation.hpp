#ifndef LULL_CORE_GENERATION_HPP
#define LULL_CORE_GENERATION_HPP

#include <lull/once.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace lull::detail {

/// The counter behind a lull_generation. Never destroyed, so that whoever has a pointer to it may
/// read it for ever.
struct generation_counter {
  std::atomic<std::uint64_t> count{0};
  const std::uint64_t device;

  explicit generation_counter(std::uint64_t number) noexcept : device(number) {}

  /// The counter of a device, the same whenever somebody asks with the same key.
  static generation_counter& of(const std::string& key);

  /// What was made in the context until now is gone.
  /// @return the new count
  std::uint64_t raise() noexcept { return count.fetch_add(1, std::memory_order_acq_rel) + 1; }

  [[nodiscard]] std::uint64_t load() const noexcept {
    return count.load(std::memory_order_acquire);
  }
  /// As it is handed out.
  [[nodiscard]] const lull_generation& face() const noexcept {
    return *reinterpret_cast<const lull_generation*>(this);
  }
};
static_assert(std::is_standard_layout_v<generation_counter> &&
              std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(generation_counter) == sizeof(lull_generation) &&
              offsetof(generation_counter, device) == offsetof(lull_generation, device));

}  // namespace lull::detail

#endif  // LULL_CORE_GENERATION_HPP
