#ifndef LULL_MEMORY_PINNING_HPP
#define LULL_MEMORY_PINNING_HPP

#include <lull/device.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace lull::detail {

/// Whether a device copies pinned memory faster than any other, and beside other work. Where the
/// CPU reaches the device's memory there is nothing to gain.
[[nodiscard]] bool gains_from_pinning(const device& which) noexcept;

/// That a stretch of host memory is registered with a device. A context reset ends a registration
/// by itself; what is registered with one device serves all of its backend. Move-only; not
/// thread-safe.
class pinning {
 public:
  pinning() noexcept = default;
  /// @throws error: as the device refuses it; unsupported
  pinning(const device& with, std::byte* address, std::uint64_t bytes, host_access access);
  pinning(pinning&& other) noexcept { *this = std::move(other); }
  pinning& operator=(pinning&& other) noexcept;
  ~pinning();

  /// Whether copies of a device still go at full speed.
  [[nodiscard]] bool serves(const device& which) const noexcept;
  /// Whether there is still something to end.
  [[nodiscard]] bool valid() const noexcept;

  /// @throws error: as the device reports it; then there is still something to end
  void end();

 private:
  std::optional<device> with_;
  std::uint64_t generation_ = 0;
  std::byte* address_ = nullptr;
};

}  // namespace lull::detail

#endif  // LULL_MEMORY_PINNING_HPP
