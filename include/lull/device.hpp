#ifndef LULL_DEVICE_HPP
#define LULL_DEVICE_HPP

/// @file
/// A device: its facts, its memory as seen without waking it, and its operations.

#include <lull/backend.h>
#include <lull/export.h>

#include <chrono>
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
  graph_upload = LULL_CAP_GRAPH_UPLOAD,
  graph_trim = LULL_CAP_GRAPH_TRIM,
  processes = LULL_CAP_PROCESSES,
  checkpoint = LULL_CAP_CHECKPOINT,
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

/// A process that holds memory of a device.
struct device_process {
  /// As the platform lists it: in a container perhaps the host's id, which means nothing here.
  std::int64_t id = 0;
  std::optional<std::uint64_t> used_bytes = {};  ///< absent where the platform cannot tell

  friend bool operator==(const device_process&, const device_process&) = default;
};

/// Whether something holds; "cannot tell" is an answer. See lull_tristate.
enum class tristate : std::uint32_t {
  no = LULL_NO,
  yes = LULL_YES,
  cannot_tell = LULL_CANNOT_TELL,
};
LULL_API std::string_view to_string(tristate answer) noexcept;

/// How long a question to the platform may take unless the caller says otherwise. Healthy libraries
/// answer within milliseconds; the first call of a process may take a second on a large machine.
inline constexpr std::chrono::milliseconds default_probe_limit{2000};

namespace detail {
struct device_state;
struct device_access;
}  // namespace detail

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

  /// Total, free, used by this process. Creates no context, does not wait for work, nor for a reset
  /// that is under way.
  /// @param limit the most time this takes, also when the platform's library hangs. A call that
  ///        hangs is not started a second time: until it returns, later callers get `timed_out` at
  ///        once.
  /// @throws error timed_out; backend
  [[nodiscard]] memory_info memory(std::chrono::milliseconds limit = default_probe_limit) const;

  /// The processes that hold memory of the device (capability::processes), this one included, by id.
  /// Those that only draw are not listed on CUDA. Creates no context and waits for nothing, as memory().
  /// @param limit as for memory(); both share one thread per device
  /// @throws error timed_out; unsupported: also where this machine's libraries cannot tell; backend
  [[nodiscard]] std::vector<device_process> processes(
      std::chrono::milliseconds limit = default_probe_limit) const;

  /// @name The context (capability::context)
  /// @{
  /// Whether this process has a context on the device. Creates none, and does not wait for a reset
  /// that is under way. On a device without contexts, the host, `no`.
  /// @param limit the most time this takes, as in memory(); a driver that has not answered by then
  ///        leaves it at `cannot_tell`
  [[nodiscard]] tristate context_alive(std::chrono::milliseconds limit = default_probe_limit) const;
  /// Creates the context if there is none. May take seconds.
  void context_create() const;
  /// How often the context was reset through lull in this process. What was made under another
  /// generation is gone. One atomic load.
  [[nodiscard]] std::uint64_t generation() const noexcept;
  /// @}

  /// Waits for all work on the device, however long it takes. Free where there is no context.
  void synchronize() const;

  /// @name Plain allocations (capability::allocate). May create the device's context.
  /// @{
  /// @param bytes above 0
  /// @throws error out_of_device_memory, backend
  [[nodiscard]] void* allocate(std::uint64_t bytes) const;
  /// @throws error stale: freed already, or by a reset
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

  /// @name Streams (capability::streams)
  /// A stream dies with the context: then using it is `stale`.
  /// @{
  [[nodiscard]] void* stream_create() const;
  void stream_destroy(void* stream) const;
  void stream_synchronize(void* stream) const;
  /// Starts a copy in the stream; it overlaps with others if `host` is pinned.
  void copy_to_host_async(void* stream, void* host, const void* address, std::uint64_t bytes) const;
  void copy_from_host_async(void* stream, void* address, const void* host,
                            std::uint64_t bytes) const;
  /// @}

  /// @name Pinned host memory (capability::pinned). Dies with the context, contents included.
  /// @{
  [[nodiscard]] void* pinned_allocate(std::uint64_t bytes) const;
  void pinned_free(void* address) const;
  /// @}

  /// Returns unused memory of the vendor's stream-ordered pools to the device (capability::pools).
  void pool_trim() const;

  /// @name Executable graphs (capability::graphs; upload and trim have their own)
  /// @{
  /// Puts a graph that the caller instantiated into lull's care: a reset knows of it, and after one
  /// the handle is `stale`.
  void graph_adopt(void* graph_exec) const;
  /// Destroys an adopted graph.
  /// @throws error stale: it is gone already, by a reset or another call
  void graph_destroy(void* graph_exec) const;
  /// Puts an adopted graph on the device ahead of its first launch.
  /// @throws error stale: as graph_destroy
  void graph_upload(void* graph_exec, void* stream) const;
  /// Destroys a graph, adopted or not, that was made under a generation of the context.
  /// @throws error stale: it died with its generation, and nothing was called; busy: not while a
  ///         stream is being captured, and it is still there. After another failure it is lull's no
  ///         more: a reset does not ask for it.
  void graph_destroy(void* graph_exec, std::uint64_t generation) const;
  /// Takes an adopted graph out of lull's care, so that the caller destroys it. Harmless for others.
  void graph_disown(void* graph_exec) const;
  /// The nodes of a graph (the template, not the executable).
  [[nodiscard]] std::uint64_t graph_node_count(void* graph) const;
  /// What a node of an executable graph holds, roughly; absent when nobody knows.
  [[nodiscard]] std::optional<std::uint64_t> graph_node_bytes() const noexcept;
  /// Returns memory that the vendor keeps for graphs which are gone.
  void graph_trim() const;
  /// @}

  /// Moves the GPU state of another process to its host memory, for good (capability::checkpoint).
  /// What a process needs before it is killed where the driver cannot bear that: see
  /// checkpoint_before_kill(). Blocks for the copies; creates no context.
  /// @param pid as this process knows it; takes the right to trace it
  /// @param timeout for its submitted work; 1 ms to 49 days
  /// @throws error unsupported; invalid_argument; backend: with the driver's reason
  void checkpoint_process(std::int64_t pid, std::chrono::milliseconds timeout) const;

  /// Whether both refer to the same device of the same registry.
  friend bool operator==(const device& a, const device& b) noexcept { return a.state_ == b.state_; }

 private:
  friend class registry;
  friend struct detail::device_access;
  explicit device(std::shared_ptr<detail::device_state> state) noexcept;

  std::shared_ptr<detail::device_state> state_;
};

}  // namespace lull

#endif  // LULL_DEVICE_HPP
