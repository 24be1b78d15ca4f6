#ifndef LULL_TESTS_SIMGPU_WORLD_HPP
#define LULL_TESTS_SIMGPU_WORLD_HPP

/// @file
/// A simulated GPU: what the fake vendor libraries beside this file keep their books in, and what
/// tests set up and look at. Device memory is memory of this process, so that contents can be
/// checked; what a vendor's rules forbid is an error and is written down as misuse.
///
/// All of it lives in libsimgpu.so, which the fakes and the test program share.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "simgpu/clockwork.hpp"
#include "simgpu/faults.hpp"

namespace simgpu {

enum class vendor { cuda, hip, musa };

/// What an operation comes to; each fake has codes of its own for them.
enum class code {
  ok,
  invalid_value,
  out_of_memory,
  no_device,
  invalid_handle,
  context_destroyed,
  not_supported,
  not_permitted,  ///< forbidden now: a destruction during a capture
  registered_already,
  not_registered,
  not_initialized,   ///< of a process that does not use a GPU
  illegal_state,     ///< of a process that is in another state
  operating_system,  ///< of a process that is not there, or lost
  timed_out,
};

/// How the machine is made. Sizes in bytes.
struct scenario {
  int devices = 2;
  std::uint64_t total_bytes = std::uint64_t{8} << 30;
  std::uint64_t context_bytes = std::uint64_t{300} << 20;
  /// What another process holds of each device; see set_foreign_bytes.
  std::uint64_t foreign_bytes = 0;
  /// Stays with the process after a reset, once a context was there (376 MB on a gfx900 with
  /// rocBLAS, ggml-org/llama.cpp issue 25265).
  std::uint64_t residue_bytes = 0;
  /// Freed memory counts as used for so long.
  std::chrono::milliseconds reclaim_delay{0};
  bool stable_addresses = true;
  bool pools = true;
  /// Devices can use each other's memory.
  bool peers = true;
  /// Memory that may only be read can be registered (CUDA).
  bool read_only_registration = true;
  /// Devices are slices of larger GPUs, which have seven times their memory (CUDA).
  bool slices = false;
  /// Contexts are shared with other processes by a server of the vendor's (CUDA, MPS).
  bool shared_contexts = false;
  /// Reserved addresses are still reserved after a reset of the device that was current then.
  bool reset_keeps_addresses = true;
  /// Memory behind an address stays until the address is freed (ROCm 7.2).
  bool unmap_keeps_memory = false;
  /// Added to our process id in what the platform lists: as in a container.
  int pid_offset = 0;
  /// Whether the platform can tell what each process holds.
  bool per_process = true;
  /// Other processes in its list, which begin with the one that holds the foreign bytes.
  int other_processes = 1;
  /// How far apart the entries of NVML's list lie: 32 with some drivers of the series 535.
  std::size_t list_entry_bytes = 24;
  /// Questions about memory succeed and answer zeros, as where a GPU shares the host's.
  bool answers_zero = false;
  /// All devices are partitions of one GPU and have its address (HIP).
  bool partitions = false;
  clockwork speed = {};
  int driver_version = 13000;
  int runtime_version = 13000;
};

/// What lives, for a test to compare before and after.
struct books {
  int contexts = 0;
  int allocations = 0;
  int reservations = 0;
  int physical = 0;
  int mappings = 0;
  int streams = 0;
  int events = 0;
  int pinned = 0;
  int registrations = 0;
  int graphs = 0;
  std::uint64_t pool_bytes = 0;
  std::uint64_t used_bytes = 0;  ///< by this process, on all devices

  friend bool operator==(const books&, const books&) = default;
};
[[nodiscard]] std::string to_string(const books& all);

inline constexpr std::uint64_t granularity_bytes = std::uint64_t{2} << 20;

/// The machine of one vendor. Every function is thread-safe.
class world {
 public:
  static world& of(vendor which);

  /// Starts anew: nothing lives, no context was ever made, no fault is set, no files
  /// are kept.
  void restart(const scenario& made);
  [[nodiscard]] scenario made() const;

  /// The call script; the fakes ask it first.
  faults script;

  [[nodiscard]] books take_stock() const;
  /// Contexts made since the restart.
  [[nodiscard]] int contexts_created() const;
  /// What was done against the rules: "stream used after its context was gone".
  [[nodiscard]] std::vector<std::string> misuse() const;

  /// Another process holds so much of a device.
  void set_foreign_bytes(int device, std::uint64_t bytes, int pid = 1);

  /// The devices that may use what is mapped at an address.
  [[nodiscard]] std::set<int> accessible_from(const void* address) const;

  /// Processes that a test does not speak of are there and use a GPU.
  enum class process_kind { on_gpu, without_gpu, ended };
  void set_process(int pid, process_kind kind);
  /// Another process holds so much of a device, beside the foreign bytes.
  void set_process_bytes(int pid, int device, std::uint64_t bytes);
  /// Keeps what is known of processes in a folder, a file each that is named after the process
  /// ("state 0 or 2, whether it is lost, bytes on each device"), so that several programs know the
  /// same. Processes that have none use no GPU then. And what this process has itself, in
  /// "PID.own", so that programs which run at the same time see each other. The environment
  /// variable SIMGPU_PROCESSES says it too.
  void set_process_folder(const std::filesystem::path& folder);
  /// Learns of processes that have come since, and of those that have ended; with the environment
  /// variable SIMGPU_PROCESSES_CHANGE also of what the others hold now.
  void follow_processes();
  /// A process has what the driver does not move: managed memory, or memory that others share.
  /// @param ruins it finds that out too late to leave the process as it was
  void hold_what_cannot_be_saved(int pid, bool ruins);
  /// Calls of this process that had to wait because it was locked or suspended.
  [[nodiscard]] int calls_that_waited() const { return calls_that_waited_.load(); }
  /// Where a process is in being suspended, as CUDA numbers it: 0 running, 1 locked, 2 suspended, 3
  /// failed.
  [[nodiscard]] int process_state(int pid) const;
  /// What is in host memory of processes that are suspended, this one among them.
  [[nodiscard]] std::uint64_t carried_bytes() const;

  /// Where the files of AMD's kernel driver are kept up to date.
  void set_sysfs(const std::filesystem::path& root);

  // --- what the fakes call -----------------------------------------------------------------------

  [[nodiscard]] int device_count() const;
  [[nodiscard]] std::string pci_address(int device) const;
  [[nodiscard]] std::optional<int> find_pci(std::string_view address) const;

  /// Makes the context if there is none.
  code ensure_context(int device);
  [[nodiscard]] bool context_active(int device) const;
  [[nodiscard]] std::uint64_t context_id(int device) const;
  void retain(int device);
  code release(int device);
  code reset(int device);

  code allocate(int device, std::uint64_t bytes, void** address);
  code free(void* address);
  code copy(int device, void* destination, const void* source, std::uint64_t bytes, bool to_host);
  code copy_async(int device, void* stream, void* destination, const void* source,
                  std::uint64_t bytes, bool to_host);
  code fill(void* address, int value, std::uint64_t bytes);
  /// Work that the device still does when its call returns, in the null stream.
  void depart();
  void arrive();
  [[nodiscard]] int under_way() const;

  code pinned_allocate(int device, std::uint64_t bytes, void** address);
  code pinned_free(void* address);

  /// Of the caller's memory, which must be mapped, and writable unless it is to be read only.
  code host_register(int device, void* address, std::uint64_t bytes, bool read_only);
  code host_unregister(void* address);

  code event_create(int device, void** event);
  code event_destroy(void* event);
  code event_record(void* event, void* stream);
  /// Whether what it was recorded for is done, or it never was.
  code event_query(void* event, bool* happened);
  code event_synchronize(void* event);
  code stream_wait_event(void* stream, void* event);

  code stream_create(int device, void** stream);
  code stream_destroy(void* stream);
  code stream_use(void* stream);
  code stream_synchronize(void* stream);
  code capture_begin(void* stream);
  code capture_end(void* stream);

  /// An executable graph that takes device memory.
  code graph_create(int device, std::uint64_t bytes, void** graph_exec);
  code graph_destroy(void* graph_exec);
  code graph_use(void* graph_exec);
  /// It runs until finish_work(). One that is destroyed before that goes then on CUDA; elsewhere
  /// that is misuse.
  code graph_launch(void* graph_exec);
  void finish_work(int device);
  void finish_copies(int device);

  code pool_allocate(int device, std::uint64_t bytes, void** address);
  code pool_free(void* address);
  code pool_trim(int device);

  /// @param device the current one
  code vm_reserve(int device, std::uint64_t bytes, void* hint, void** address);
  code vm_release(void* address, std::uint64_t bytes);
  code vm_create(int device, std::uint64_t bytes, std::uint64_t* handle);
  code vm_destroy(std::uint64_t handle);
  code vm_map(void* address, std::uint64_t bytes, std::uint64_t handle);
  /// For one device; what others have stays.
  code vm_set_access(void* address, std::uint64_t bytes, int device);
  code vm_unmap(void* address, std::uint64_t bytes);

  [[nodiscard]] bool can_access_peer(int device, int memory_of) const;
  code look_at_process(int pid, int* state);
  code lock_process(int pid);
  code save_process(int pid);
  code restore_process(int pid);
  code unlock_process(int pid);
  /// While this process is locked, as a call of the driver does.
  void wait_until_unlocked() const;
  /// While this process is suspended, as a call of the management library does.
  void wait_until_restored() const;

  /// What the platform says: total and used by all, by this process, and our process id in its
  /// list.
  struct figures {
    std::uint64_t total_bytes = 0;
    std::uint64_t used_bytes = 0;
    std::optional<std::uint64_t> ours;
    int listed_pid = 0;
    std::uint64_t foreign_bytes = 0;  ///< of processes that no test spoke of
    int foreign_pid = 1;
    std::map<int, std::uint64_t> others;  ///< what set_process_bytes said, of those that hold any
  };
  [[nodiscard]] figures observe(int device) const;

 private:
  explicit world(vendor which);

  struct allocation {
    int device = 0;
    std::uint64_t bytes = 0;
    bool from_pool = false;
  };
  struct physical_memory {
    int device = 0;
    std::uint64_t bytes = 0;
    void* parked = nullptr;  ///< where its pages are while they are not mapped
    void* mapped_at = nullptr;
    bool released = false;
    bool held_by_address = false;
  };
  struct reservation {
    int device = 0;
    std::uint64_t bytes = 0;
  };
  struct mapping {
    std::uint64_t bytes = 0;
    std::uint64_t handle = 0;
    std::set<int> devices = {};  ///< that have access
  };
  struct process {
    process_kind kind = process_kind::on_gpu;
    int state = 0;
    bool lost = false;
    bool refuses = false;  ///< to be saved
    bool ruined_by_it = false;
    std::vector<std::uint64_t> bytes;  ///< what it has on each device, or had when it was suspended
  };
  enum class handle_kind { stream, event, pinned, graph };
  struct registration {
    int device = 0;
    std::uint64_t bytes = 0;
  };
  struct object {
    handle_kind kind = handle_kind::stream;
    int device = 0;
    std::uint64_t context_id = 0;
    std::uint64_t bytes = 0;
    bool alive = true;
    bool running = false;
  };
  using clock = std::chrono::steady_clock;
  using time_point = clock::time_point;
  struct queued_copy {
    void* destination = nullptr;
    const void* source = nullptr;
    std::uint64_t bytes = 0;
  };
  struct queue {
    int device = 0;
    std::deque<queued_copy> copies;
    std::uint64_t queued = 0;  ///< ever
    std::uint64_t done = 0;
    time_point empty_at{};
  };
  /// What an event was recorded for.
  struct recording {
    void* stream = nullptr;
    std::uint64_t up_to = 0;
    time_point when{};
  };
  struct late_return {
    std::chrono::steady_clock::time_point when;
    std::uint64_t bytes = 0;
  };
  struct gpu {
    bool active = false;
    bool ever_active = false;
    std::uint64_t context_id = 0;
    int retains = 0;
    std::uint64_t ours = 0;
    std::uint64_t foreign = 0;
    int foreign_pid = 1;
    std::uint64_t pool_reserved = 0;
    std::uint64_t pool_used = 0;
    std::vector<late_return> returning;
    std::array<time_point, 2> link_busy_until{};  ///< to the device, to the host
  };

  [[nodiscard]] std::uint64_t physical_bytes_on(int device) const;
  code charge(int device, std::uint64_t bytes);
  void refund(int device, std::uint64_t bytes);
  void clear();
  code misused(std::string what);
  code ensure_context_locked(int device);
  void destroy_context_locked(int device);
  [[nodiscard]] std::uint64_t used_locked(int device) const;
  [[nodiscard]] bool crosses_registrations(const void* address, std::uint64_t bytes) const;
  void end_registrations(int device);
  [[nodiscard]] bool is_device_memory(const void* address, std::uint64_t bytes) const;
  [[nodiscard]] bool is_reserved(const void* address, std::uint64_t bytes) const;
  void lose_addresses(int device);
  code make_handle(handle_kind kind, int device, std::uint64_t bytes, void** out);
  code live_handle(handle_kind kind, void* which, const char* what, object** found);
  code end_handle(handle_kind kind, void* which, const char* what);
  code check_copy(const void* destination, const void* source, std::uint64_t bytes, bool to_host);
  [[nodiscard]] bool is_pinned(const void* address, std::uint64_t bytes) const;
  [[nodiscard]] bool was_registered(const void* address);
  [[nodiscard]] std::uint64_t registered_bytes(const void* address) const;
  [[nodiscard]] std::uint64_t physical_bytes(std::uint64_t handle) const;
  [[nodiscard]] bool is_working(int device) const;
  [[nodiscard]] bool is_being_copied(const void* address, std::uint64_t bytes) const;
  time_point occupy_link(int device, std::uint64_t bytes, bool to_host, bool pinned,
                         time_point not_before);
  static void run_copies(queue& in, std::uint64_t up_to);
  code event_use(void* event);
  void reach(void* event);
  void spend_in_driver(clockwork::duration how_long);
  process& process_of(int pid);
  code expect_process(int pid, int state);
  void load_processes();
  void load_process(const std::filesystem::path& file);
  void read_processes_again();
  void store_process(int pid) const;
  void share_own_use() const;
  /// What other programs that share the folder have on a device, by process.
  [[nodiscard]] std::map<int, std::uint64_t> used_by_programs(int device) const;
  void enter_state(int pid, int state);
  void write_sysfs() const;
  void write_file(const std::filesystem::path& file, const std::string& text) const;
  [[nodiscard]] bool valid(int device) const;

  const vendor vendor_;
  mutable std::recursive_mutex mutex_;
  scenario made_;
  std::vector<gpu> gpus_;
  std::map<char*, allocation> allocations_;
  std::map<const char*, reservation> reservations_;
  std::map<char*, mapping> mappings_;
  std::map<std::uint64_t, physical_memory> physical_;
  std::multimap<std::uint64_t, char*> spare_;  ///< pages of memory that was given back, by size
  std::map<void*, object> handles_;
  std::map<const char*, registration> registrations_;
  std::set<const void*> registered_before_;
  std::map<void*, queue> queues_;
  std::map<void*, recording> marks_;
  time_point driver_busy_until_{};  ///< one call at a time registers, makes and maps
  std::uint64_t next_id_ = 1;
  int contexts_created_ = 0;
  int captures_ = 0;
  int under_way_ = 0;
  std::vector<std::string> misuse_;
  std::map<int, process> processes_;
  std::atomic<int> own_state_{0};  ///< of this process
  mutable std::atomic<int> calls_that_waited_{0};
  std::filesystem::path process_folder_;
  std::filesystem::path sysfs_;
  mutable std::map<std::string, std::string> written_;  ///< what stands in its files
};

/// A scenario as text, "devices=1,total=8GiB,residue=376MiB,reclaim_ms=200". Used for the
/// environment variable SIMGPU, so that a program under test can be given one; SIMGPU_VENDORS names
/// those that have devices ("cuda,hip"; all by default).
[[nodiscard]] scenario parse_scenario(std::string_view text);

}  // namespace simgpu

#endif  // LULL_TESTS_SIMGPU_WORLD_HPP
