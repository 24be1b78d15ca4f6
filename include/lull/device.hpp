#ifndef LULL_DEVICE_HPP
#define LULL_DEVICE_HPP

/// @file
/// A device: its facts, its memory as seen without waking it, and its operations.

#include <lull/backend.h>
#include <lull/export.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lull {

/// See lull_device_type.
enum class device_type : std::uint32_t {
  host = LULL_DEVICE_HOST,
  gpu = LULL_DEVICE_GPU,
  integrated = LULL_DEVICE_INTEGRATED,
};
LULL_API std::string_view to_string(device_type type) noexcept;

/// What a device can do. See lull_capability for the operations behind each.
enum class capability : std::uint64_t {
  allocate = LULL_CAP_ALLOCATE,
  stable_addresses = LULL_CAP_STABLE_ADDRESSES,
  copy = LULL_CAP_COPY,
  streams = LULL_CAP_STREAMS,
  pinned = LULL_CAP_PINNED,
  context = LULL_CAP_CONTEXT,
  reset = LULL_CAP_RESET,
  pools = LULL_CAP_POOLS,
  graphs = LULL_CAP_GRAPHS,
  suspend = LULL_CAP_SUSPEND,
  host_accessible = LULL_CAP_HOST_ACCESSIBLE,
};
LULL_API std::string_view to_string(capability what) noexcept;

/// How a memory figure is known. See lull_memory_source.
enum class memory_source : std::uint32_t {
  unknown = LULL_SOURCE_UNKNOWN,
  accounting = LULL_SOURCE_ACCOUNTING,
  management = LULL_SOURCE_MANAGEMENT,
  kernel = LULL_SOURCE_KERNEL,
  runtime = LULL_SOURCE_RUNTIME,
};
LULL_API std::string_view to_string(memory_source source) noexcept;

/// Memory of a device. A figure that the platform cannot tell is absent, never 0.
struct memory_info {
  std::optional<std::uint64_t> total_bytes;
  std::optional<std::uint64_t> free_bytes;             ///< what can be had now, by any process
  std::optional<std::uint64_t> used_by_process_bytes;  ///< what this process holds
  memory_source source = memory_source::unknown;
};

namespace detail {
struct device_state;
}

/// A reference to a device of a registry: cheap to copy, never null (but when moved from), valid as
/// long as it exists, also after the registry is gone. While one exists its module stays loaded.
///
/// All functions are thread-safe. Those that call the vendor throw lull::error with the vendor's
/// code and words; those of a group that the device lacks throw `unsupported`, and `supports` says
/// so beforehand.
class LULL_API device {
 public:
  /// "CUDA0", "HIP1", "HOST". Unique in its registry.
  [[nodiscard]] const std::string& name() const noexcept;
  /// For people: "NVIDIA H200".
  [[nodiscard]] const std::string& description() const noexcept;
  [[nodiscard]] device_type type() const noexcept;
  /// "0000:65:00.0", or empty.
  [[nodiscard]] const std::string& pci_address() const noexcept;
  /// The vendor's UUID text, or empty.
  [[nodiscard]] const std::string& uuid() const noexcept;
  /// The backend's name, "cuda".
  [[nodiscard]] std::string_view backend() const noexcept;

  [[nodiscard]] bool supports(capability what) const noexcept;
  [[nodiscard]] std::vector<capability> capabilities() const;
  /// @throws error (unsupported) that names the device, the capability and what needed it.
  void require(capability what, std::string_view needed_by) const;

  /// Total, free, used by this process. Creates no context and does not wait for work.
  [[nodiscard]] memory_info memory() const;

  /// Waits for all work on the device, however long it takes. Free where there is no context.
  void synchronize() const;

  /// @name Plain allocations (capability::allocate). May create the device's context.
  /// @{
  /// @param bytes above 0
  /// @throws error out_of_device_memory, backend
  [[nodiscard]] void* allocate(std::uint64_t bytes) const;
  void deallocate(void* address, std::uint64_t bytes) const;
  /// @}

  /// @name Stable addresses (capability::stable_addresses)
  /// Building blocks of lull::memory, which most callers want instead. Sizes and addresses are
  /// multiples of vm_granularity(). For each operation's contract see lull_backend_ops.
  /// @{
  [[nodiscard]] std::uint64_t vm_granularity() const;
  [[nodiscard]] void* vm_reserve(std::uint64_t bytes) const;
  void vm_release(void* address, std::uint64_t bytes) const;
  [[nodiscard]] std::uint64_t vm_create(std::uint64_t bytes) const;
  void vm_destroy(std::uint64_t handle) const;
  void vm_map(void* address, std::uint64_t bytes, std::uint64_t handle) const;
  void vm_unmap(void* address, std::uint64_t bytes) const;
  /// @}

  /// @name Contents (capability::copy). Each call returns when the bytes have arrived.
  /// @{
  void copy_to_host(void* host, const void* address, std::uint64_t bytes) const;
  void copy_from_host(void* address, const void* host, std::uint64_t bytes) const;
  void fill(void* address, std::byte value, std::uint64_t bytes) const;
  /// @}

  /// Whether both refer to the same device of the same registry.
  friend bool operator==(const device& a, const device& b) noexcept { return a.state_ == b.state_; }

 private:
  friend class registry;
  explicit device(std::shared_ptr<detail::device_state> state) noexcept;

  std::shared_ptr<detail::device_state> state_;
};

}  // namespace lull

#endif  // LULL_DEVICE_HPP
