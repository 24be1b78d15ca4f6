#ifndef LULL_DEVICE_HPP
#define LULL_DEVICE_HPP

/// @file
/// A device: its facts, its memory as seen without waking it, and its operations.

#include <lull/backend.h>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/export.h>
#include <lull/once.h>

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
  registration = LULL_CAP_REGISTRATION,
  peers = LULL_CAP_PEERS,
  host_accessible = LULL_CAP_HOST_ACCESSIBLE,
  read_only_registration = LULL_CAP_READ_ONLY_REGISTRATION,
  addresses_outlive_reset = LULL_CAP_ADDRESSES_OUTLIVE_RESET,
};
LULL_API std::string_view to_string(capability what) noexcept;

/// How a range of addresses is reserved.
struct vm_reserve_options {
  /// Where it shall be, if that is free. Null: anywhere.
  void* wanted = nullptr;
  /// Whoever has it can do with another range after a reset that loses it. Without, such a reset is
  /// refused while the range is reserved.
  bool may_move = false;
};

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

  friend bool operator==(const device_process& a, const device_process& b) noexcept {
    return a.id == b.id && a.used_bytes == b.used_bytes;
  }
  friend bool operator!=(const device_process& a, const device_process& b) noexcept {
    return !(a == b);
  }
};

/// Whether something holds; "cannot tell" is an answer. See lull_tristate.
enum class tristate : std::uint32_t {
  no = LULL_TRISTATE_NO,
  yes = LULL_TRISTATE_YES,
  cannot_tell = LULL_TRISTATE_CANNOT_TELL,
};
LULL_API std::string_view to_string(tristate answer) noexcept;

/// A stream of a device, as the vendor's handle (cudaStream_t, hipStream_t, musaStream_t).
struct stream_handle {
  void* value = nullptr;

  friend bool operator==(stream_handle a, stream_handle b) noexcept { return a.value == b.value; }
};

/// An event of a device, as the vendor's handle (cudaEvent_t, hipEvent_t, musaEvent_t).
struct event_handle {
  void* value = nullptr;

  friend bool operator==(event_handle a, event_handle b) noexcept { return a.value == b.value; }
};

/// What a device may do with registered host memory.
enum class host_access : std::uint32_t { read_write, read_only };

/// Where a process is on its way off its GPUs and back. See lull_gpu_state.
enum class gpu_state : std::uint32_t {
  running = LULL_GPU_STATE_RUNNING,
  locked = LULL_GPU_STATE_LOCKED,
  suspended = LULL_GPU_STATE_SUSPENDED,
  lost = LULL_GPU_STATE_LOST,
};
LULL_API std::string_view to_string(gpu_state state) noexcept;

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
  /// that is under way. While this process is suspended (sleep_level::suspend) nobody is asked, as
  /// that would not return: total and free are what was known before, what this process holds is
  /// absent, and the source is `unknown`. Somebody outside knows: `lull observe`.
  /// @param limit the most time this takes, also when the platform's library hangs. A call that
  ///        hangs is not started a second time: until it returns, later callers get `timed_out` at
  ///        once.
  /// @throws error timed_out; backend
  [[nodiscard]] memory_info memory(std::chrono::milliseconds limit = default_probe_limit) const;

  /// The processes that hold memory of the device (capability::processes), this one included, by
  /// id. Those that only draw are not listed on CUDA. Creates no context and waits for nothing, as
  /// memory().
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
  /// How many contexts came before the present one in this process: one more after each reset
  /// through lull, and when the device is opened again after the last registry that knew it has
  /// gone, whose end may have been the context's too. What was made under another generation is
  /// gone. One atomic load.
  [[nodiscard]] std::uint64_t generation() const noexcept {
    return lull_generation_count(generation_);
  }
  /// The counter itself, which lives for ever, and belongs to the physical device: whoever opens it
  /// again, through another registry too, has the same one.
  [[nodiscard]] const lull_generation& generation_counter() const noexcept { return *generation_; }
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
  /// multiples of vm_granularity(). For each operation's contract see lull_stable_addresses_ops.
  /// @{
  [[nodiscard]] std::uint64_t vm_granularity() const;
  /// Ends with a reset where the device lacks capability::addresses_outlive_reset.
  [[nodiscard]] void* vm_reserve(std::uint64_t bytes, const vm_reserve_options& options = {}) const;
  void vm_release(void* address, std::uint64_t bytes) const;
  [[nodiscard]] std::uint64_t vm_create(std::uint64_t bytes) const;
  void vm_destroy(std::uint64_t handle) const;
  void vm_map(void* address, std::uint64_t bytes, std::uint64_t handle) const;
  void vm_unmap(void* address, std::uint64_t bytes) const;
  /// @}

  /// @name Memory that other devices use (capability::peers)
  /// @{
  /// Whether `peer` can read and write stable-address memory of this device. A device can its own;
  /// one of another backend cannot. Creates no context.
  [[nodiscard]] bool is_accessible_from(const device& peer) const;
  /// Lets `peers` read and write what one vm_map mapped, beside this device, until it is unmapped.
  /// May create this device's context.
  /// @throws error stale: nothing of lull's is mapped there any more; invalid_argument: a peer is
  ///         of another backend; backend: one cannot
  void vm_set_access(void* address, std::uint64_t bytes, const std::vector<device>& peers) const;
  /// @}

  /// @name Contents (capability::copy). Each call returns when the bytes have arrived.
  /// @{
  void copy_to_host(void* host, const void* address, std::uint64_t bytes) const;
  void copy_from_host(void* address, const void* host, std::uint64_t bytes) const;
  void fill(void* address, std::byte value, std::uint64_t bytes) const;
  /// @}

  /// @name Streams and events (capability::streams)
  /// Both die with the context: then using one is `stale`. A stream's work waits for no other
  /// stream's. All of these may create the device's context, and return without waiting unless they
  /// say so.
  /// @{
  [[nodiscard]] stream_handle stream_create() const;
  /// What is queued in it is done all the same.
  void stream_destroy(stream_handle stream) const;
  /// Waits for all work that is queued in the stream, however long it takes.
  void stream_synchronize(stream_handle stream) const;
  /// What is queued in `stream` from now on waits until `event` as last recorded has happened; for
  /// nothing if it never was.
  void stream_wait_event(stream_handle stream, event_handle event) const;
  /// Queues a copy of `bytes` from the device. It overlaps with other work if `host` is pinned or
  /// registered, all of it in one registration (a copy that crosses from one into the next fails on
  /// CUDA); else the vendor may wait for it. Both memories must stay until it is done.
  void copy_to_host_async(stream_handle stream, void* host, const void* address,
                          std::uint64_t bytes) const;
  /// As copy_to_host_async, to the device.
  void copy_from_host_async(stream_handle stream, void* address, const void* host,
                            std::uint64_t bytes) const;
  [[nodiscard]] event_handle event_create() const;
  void event_destroy(event_handle event) const;
  /// The event happens when the work that is queued in the stream now is done.
  void event_record(event_handle event, stream_handle stream) const;
  /// Whether it has happened. So has one that was never recorded.
  [[nodiscard]] bool event_query(event_handle event) const;
  /// Waits until it has happened, however long it takes, without keeping a CPU busy where the
  /// vendor can (CUDA and HIP can).
  void event_synchronize(event_handle event) const;
  /// @}

  /// @name Pinned host memory (capability::pinned). Dies with the context, contents included.
  /// @{
  [[nodiscard]] void* pinned_allocate(std::uint64_t bytes) const;
  void pinned_free(void* address) const;
  /// @}

  /// @name Registered host memory (capability::registration)
  /// Memory of the caller's that all devices of this backend can copy at full speed. A reset of the
  /// device ends its registrations, is not held up by them, and leaves the memory alone; the memory
  /// must outlive its registration otherwise.
  /// @{
  /// May create the device's context. Holds up other calls of the vendor's driver for as long as it
  /// takes (64 MiB in populated huge pages: 2 to 3 ms on an H200), so large ranges go in slices.
  /// @param address,bytes whole pages, `bytes` above 0, no part of which is registered
  /// @param access read_only for memory that this process may only read, such as a file mapped
  ///        shared and read-only; takes capability::read_only_registration
  /// @throws error unsupported; backend: with the vendor's reason
  void host_register(void* address, std::uint64_t bytes,
                     host_access access = host_access::read_write) const;
  /// Ends what host_register began at this address; no copy of it may be under way.
  /// @throws error stale: it is not registered any more, by a reset or another call
  void host_unregister(void* address) const;
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
  void graph_upload(void* graph_exec, stream_handle stream) const;
  /// Destroys a graph, adopted or not, that was made under a generation of the context.
  /// @throws error stale: it died with its generation, and nothing was called; busy: not while a
  ///         stream is being captured, and it is still there. After another failure it is lull's no
  ///         more: a reset does not ask for it.
  void graph_destroy(void* graph_exec, std::uint64_t generation) const;
  /// Takes an adopted graph out of lull's care, so that the caller destroys it. Harmless for
  /// others.
  void graph_disown(void* graph_exec) const;
  /// The nodes of a graph (the template, not the executable).
  [[nodiscard]] std::uint64_t graph_node_count(void* graph) const;
  /// What a node of an executable graph holds, roughly; absent when nobody knows.
  [[nodiscard]] std::optional<std::uint64_t> graph_node_bytes() const noexcept;
  /// Returns memory that the vendor keeps for graphs which are gone.
  void graph_trim() const;
  /// @}

  /// @name What a process has on its GPUs, moved to its host memory and back (capability::suspend)
  /// Each of these is about all devices of the process, whichever device it is called on, and about
  /// this process or another. They pass by the device's gate, create no context and block for as
  /// long as the driver takes: copies run at 2 to 5 GB/s (docs/hardware-notes.md). For another
  /// process they take the right to trace it. While this process itself is not `running`, whatever
  /// calls the vendor's libraries waits, and a question to a management library may never return;
  /// so nothing of lull but suspend_restore and suspend_unlock may be called on any device then.
  /// @param pid as this process knows it
  /// @throws error not_found: no such process, or it uses no GPU; busy: it is in another state than
  ///         the operation begins with; unsupported; backend: with the driver's reason
  /// @{
  [[nodiscard]] gpu_state suspend_state(std::int64_t pid) const;
  /// From running to locked: its calls of the vendor's runtime wait, and so does this for work that
  /// it submitted.
  /// @param timeout for that work; 1 ms to 49 days
  /// @throws error timed_out: the process runs as before; invalid_argument
  void suspend_lock(std::int64_t pid, std::chrono::milliseconds timeout) const;
  /// From locked to suspended. After a failure it is still locked.
  void suspend_save(std::int64_t pid) const;
  /// From suspended to locked. See to it before that what the process had fits on its devices: one
  /// that does not find the memory is `lost`, for good.
  void suspend_restore(std::int64_t pid) const;
  /// From locked to running.
  void suspend_unlock(std::int64_t pid) const;
  /// Locks another process and saves it, for good: what it needs before it is killed where the
  /// driver cannot bear that, see checkpoint_before_kill(). One that is suspended already is left
  /// alone, and one that cannot be saved is unlocked.
  /// @param timeout as for suspend_lock
  void checkpoint_process(std::int64_t pid, std::chrono::milliseconds timeout) const;
  /// @}

  /// Whether both refer to the same device of the same registry.
  friend bool operator==(const device& a, const device& b) noexcept { return a.state_ == b.state_; }

 private:
  friend class registry;
  friend struct detail::device_access;
  explicit device(std::shared_ptr<detail::device_state> state) noexcept;

  std::shared_ptr<detail::device_state> state_;
  const lull_generation* generation_;
};

}  // namespace lull

#endif  // LULL_DEVICE_HPP
