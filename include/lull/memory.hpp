#ifndef LULL_MEMORY_HPP
#define LULL_MEMORY_HPP

/// @file
/// Stable-address memory: regions whose device memory can be taken away and given back while their
/// address stays.

#include <lull/clock.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/device.hpp>
#include <lull/export.h>
#include <lull/file_source.hpp>
#include <lull/host_arena.hpp>
#include <lull/log.hpp>
#include <lull/report.hpp>
#include <lull/stop.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lull {

/// Where the contents of a region are.
enum class residency : std::uint8_t {
  resident,   ///< on the device, and valid
  unfilled,   ///< memory is on the device, contents are not valid: discarded and not written again
  offloaded,  ///< in the backing store; nothing on the device
  discarded,  ///< nowhere; nothing on the device
};
LULL_API std::string_view to_string(residency where) noexcept;

/// What to do with contents when memory is evicted.
enum class contents_action : std::uint8_t {
  keep,     ///< leave on the device
  offload,  ///< copy to the backing store, restore from there
  discard,  ///< drop; a refill callback, or the owner, writes it again
};
LULL_API std::string_view to_string(contents_action action) noexcept;

/// What to do with the contents, per tag.
struct eviction_plan {
  /// For tags that are not listed.
  contents_action otherwise = contents_action::keep;
  std::map<std::string, contents_action, std::less<>> by_tag = {};

  [[nodiscard]] LULL_API contents_action action_for(std::string_view tag) const;
};

/// Where offloaded contents go. The space for a whole transfer is obtained before anything moves,
/// and is given back region by region as they return.
class LULL_API backing_store {
 public:
  enum class kind : std::uint8_t { host_memory, memfd, file };

  /// Anonymous memory of this process.
  static backing_store host_memory();
  /// A memory file: outside this process's resident set, inside the machine's memory.
  static backing_store memfd();
  /// A file on disk. `path` is a directory, or a file name that does not exist yet. The file has
  /// mode 0600 and no name once it is open, so that nothing stays behind however the process ends.
  static backing_store file(std::filesystem::path path);

  [[nodiscard]] kind type() const noexcept { return kind_; }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  kind kind_ = kind::host_memory;
  std::filesystem::path path_;
};
LULL_API std::string_view to_string(backing_store::kind kind) noexcept;

struct transfer_options {
  backing_store backing = backing_store::host_memory();  ///< for what is offloaded
  progress_callback progress = {};
  /// Looked at between chunks. A stop rolls the transfer back and throws `cancelled`.
  stop_view stop = {};
  /// Gets the report of a transfer that fails, which throws and so returns none. Its last step is
  /// the one that failed; what a device held is measured after the rollback.
  transfer_report* failed_report = nullptr;
};

namespace detail {
class courier;
struct memory_state;
struct refill_access;
struct region_state;
}  // namespace detail

/// Handed to a refill callback: a region whose memory is there and whose contents are to be
/// written.
class LULL_API refill_target {
 public:
  [[nodiscard]] const lull::device& device() const noexcept { return device_; }
  [[nodiscard]] void* address() const noexcept { return address_; }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// Writes host bytes at an offset, on any device. Returns when `host` may be used for something
  /// else; all that was written has arrived when the callback is over. Thread-safe.
  /// @throws error invalid_argument: outside the region; backend: a copy failed, this or an earlier
  void write(std::uint64_t offset, const void* host, std::uint64_t bytes) const;

  /// Writes bytes of a file at an offset, as write() does. They are read straight into the buffers
  /// that the device copies from.
  /// @param descriptor open for reading; its position is left alone
  /// @throws error as write(); io: the file is shorter, or cannot be read
  void read_file(std::uint64_t offset, int descriptor, std::uint64_t file_offset,
                 std::uint64_t bytes) const;

 private:
  friend struct detail::refill_access;
  refill_target(lull::device device, void* address, std::uint64_t size_bytes, std::string name,
                detail::courier& with);

  lull::device device_;
  void* address_;
  std::uint64_t size_bytes_;
  std::string name_;
  detail::courier* courier_;
};

/// Writes a region's contents again after a discard. Runs on a thread of the restore, at the same
/// time as those of other regions, unless region_options::refill_alone says otherwise; what it
/// throws fails the restore, which is rolled back, with status `callback`.
using refill_callback = std::function<void(const refill_target& target)>;

struct region_options {
  std::string tag = "default";  ///< what plans speak about: "weights", "kv", "scratch"
  std::string name = {};        ///< for reports and errors: "blk.0.attn_q.weight"
  refill_callback refill = {};  ///< without one a discarded region comes back `unfilled`
  bool refill_alone = false;    ///< never beside another refill that is to be alone
  /// Files that hold the contents. The region is filled from them, when it is allocated and after
  /// every discard, in place of `refill`: so it needs no backup while it is asleep, and is back as
  /// fast as an offloaded one. The file is looked at before every such fill: if it is not what it
  /// was when it was opened, the restore fails and all is as it was.
  std::optional<region_source> source = {};
  /// Begins as `discarded`, with an address and nothing behind it: the first restore brings it,
  /// with all others at once.
  bool absent = false;
  /// Devices of the same backend that read and write it where it is, beside its own
  /// (capability::peers): each time that its memory comes back they can again. Small regions share
  /// memory with those that the same devices use.
  std::vector<device> accessible_from = {};
  /// Contents that are offloaded are summed up on the way out and on the way back. If the sums
  /// differ, because the backing was written to or a disk has lost something, the restore fails
  /// with `io` and the region's name, and all is as it was. The sum (64 bits, a multiplication for
  /// every 16 bytes) finds accidents, not attackers. It costs a thread that copies 1 s for every 10
  /// to 20 GB (docs/benchmarks.md).
  bool checksum = false;
  /// Where a reset of the device loses addresses (capability::addresses_outlive_reset), the region
  /// may come back at another one: the report of that transfer says so (device_report::moved), and
  /// address() is the new one. Without, such a reset is refused before anything is touched, as
  /// long as the region exists: for all who keep pointers into it. Small regions share memory with
  /// those that say the same.
  bool may_move = false;
};

/// Keeps a region on its device while it exists. Move-only.
class LULL_API region_lease {
 public:
  region_lease(region_lease&&) noexcept = default;
  region_lease& operator=(region_lease&& other) noexcept;
  ~region_lease();

  [[nodiscard]] void* address() const noexcept;
  [[nodiscard]] std::uint64_t size_bytes() const noexcept;

 private:
  friend class region;
  explicit region_lease(std::shared_ptr<detail::region_state> state) noexcept;
  void release() noexcept;

  std::shared_ptr<detail::region_state> state_;
};

/// A region as seen at one moment.
struct region_info {
  std::string name;
  std::string tag;
  std::string device;
  void* address = nullptr;
  std::uint64_t size_bytes = 0;
  residency state = residency::resident;
  std::uint32_t leases = 0;
  bool moving = false;  ///< a transfer is under way
  /// What it takes of its device while it is there: rounded up to the device's granularity, or to
  /// 512 bytes where small regions share memory.
  std::uint64_t device_bytes = 0;
};

/// Owns a stretch of device memory at an address that stays the same for its whole life, unless it
/// may move and a reset has lost it (region_options::may_move). Move-only.
/// Destroying it gives memory, address and backup back; while its transfer is under way that
/// happens at the transfer's end. All functions are thread-safe; none waits for a transfer.
class LULL_API region {
 public:
  region(region&&) noexcept = default;
  region& operator=(region&& other) noexcept;
  ~region();

  /// The address. What is there may be used only under a lease, under which it never changes.
  [[nodiscard]] void* address() const noexcept;
  /// As asked for; what it takes on the device is rounded up to the granularity.
  [[nodiscard]] std::uint64_t size_bytes() const noexcept;
  [[nodiscard]] const lull::device& device() const noexcept;
  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] const std::string& tag() const noexcept;

  [[nodiscard]] residency state() const noexcept;
  /// All of that, and whether it is in use.
  [[nodiscard]] region_info info() const;

  /// A lease on valid contents.
  /// @throws error not_resident: offloaded, discarded, unfilled; busy: a transfer is moving it
  [[nodiscard]] region_lease acquire() const;

  /// Writes the whole contents of an unfilled region and makes it valid. `write` gets the region as
  /// a refill callback does; if it throws, the region stays unfilled and the exception passes.
  /// Also allowed on a resident region.
  /// @throws error not_resident: no memory on the device; busy: leased, or a transfer is moving it
  void refill(const refill_callback& write);

  /// Says that the contents are not those of the region's source any more. From then on a plan that
  /// discards it offloads it instead, so that nothing is lost.
  /// @throws error busy: a transfer is moving it
  void mark_written();

  /// Changes what writes it again after a discard. Null: nothing.
  /// @throws error busy: a transfer is moving it
  void set_refill(refill_callback refill);

 private:
  friend class memory;
  explicit region(std::shared_ptr<detail::region_state> state) noexcept;
  void release() noexcept;

  std::shared_ptr<detail::region_state> state_;
};

#ifdef NDEBUG
inline constexpr bool poison_by_default = false;
#else
inline constexpr bool poison_by_default = true;
#endif

/// The byte that fills poisoned memory: no small integer, and a large negative float.
inline constexpr std::byte poison_byte{0xD1};

/// As many threads move contents as there are processors, up to this number: on an H200 no more
/// gained anything.
inline constexpr unsigned default_threads = 8;

struct memory_options {
  /// Contents move in chunks of this size, of which at most four are under way at a time for each
  /// thread that copies, with a progress report and a look at the stop token after each. 4 KiB to
  /// 4 GiB. On an H200 16 MiB reached 54.9 of 55.3 GB/s.
  std::uint64_t chunk_bytes = std::uint64_t{16} << 20;
  /// Fill memory that comes back unfilled with poison_byte, so that a read without a lease shows.
  bool poison_unfilled = poison_by_default;
  const lull::clock* clock = &lull::steady_clock();  ///< for the times in reports
  /// Gets what goes wrong where nothing can be thrown: in destructors, in a rollback.
  log_sink log = {};
  /// Where contents in host memory are kept. Absent: an arena of this object's own.
  std::optional<host_arena> arena = {};
  /// The most threads, for each device, that populate, pin and stage. 0: by default_threads.
  unsigned threads = 0;
  /// Large regions are made of handles of this size, rounded up to the device's granularity; above
  /// 0. A swap gives memory back and obtains it in these steps. On an H200 1 GiB cost 0.7 ms in
  /// handles of 512 MiB, and 31 ms in handles of 2 MiB.
  std::uint64_t handle_bytes = std::uint64_t{512} << 20;
};

/// Regions, and the transactions that move them as one.
///
/// Evicting backs up everything first and only then unmaps anything; restoring obtains all memory
/// first and only then copies, and drops the backups when all has succeeded. So a failure at any
/// point leaves states and contents as they were, and the error says how much was missing.
///
/// Thread-safe. One transfer runs at a time, a second one waits for it; nothing else does. A
/// callback of a transfer must not start another one (`busy`). Regions may outlive the memory
/// object.
class LULL_API memory {
 public:
  /// @throws error (invalid_argument) for an option outside its range
  explicit memory(memory_options options = {});
  ~memory();
  memory(const memory&) = delete;
  memory& operator=(const memory&) = delete;

  /// A region with memory behind it, `resident`, contents undefined, or those of its source: then
  /// this blocks for them. With region_options::absent it is `discarded`.
  /// @param bytes above 0
  /// @throws error unsupported: the device lacks stable_addresses or copy, or one of
  ///         accessible_from cannot reach its memory; out_of_device_memory: with what was asked
  ///         for, taken, free and missing; io: of its source; backend
  [[nodiscard]] region allocate(const device& where, std::uint64_t bytes,
                                region_options options = {});

  /// Takes regions off their devices as the plan says. Regions that are off already stay as they
  /// are: an offloaded one is not discarded. Blocks for the copies.
  /// @throws error busy: leases are out, with the region and the count; out_of_host_memory: with
  ///         what is missing; io; cancelled; callback; backend. All is as it was before; in the one
  ///         case where that fails too, the regions concerned stay off with their backups, and the
  ///         message says so.
  transfer_report evict(const eviction_plan& plan, const transfer_options& options = {});

  /// Gives up the backups of offloaded regions that the plan discards and that something writes
  /// again, a source or a refill callback: they are `discarded` then. The others stay offloaded.
  /// Nothing of a device is touched, but for what tidying up finds.
  /// @return the bytes of their contents
  /// @throws error (busy) from a callback of a transfer. Then nothing was given up.
  std::uint64_t drop_backups(const eviction_plan& plan);

  /// Brings regions back to their addresses: those with one of `tags`, or all when it is empty.
  /// Restores what was offloaded, refills what was discarded. Blocks for copies and callbacks.
  /// @throws error out_of_device_memory: with what is missing; io; cancelled; callback; backend.
  ///         All is as it was before.
  transfer_report restore(const std::vector<std::string>& tags = {},
                          const transfer_options& options = {});

  /// Takes regions off their devices as the plan says and brings those with one of `tags` back,
  /// with both directions of the link at work at once. Also where a device cannot hold both: what
  /// has left makes room, region by region, for what comes. Blocks for copies and callbacks.
  /// @throws error as evict() and restore(); not_found: no region has such a tag; invalid_argument:
  ///         the plan takes off what a tag brings. All is as it was before, as far as evict() and
  ///         restore() promise it.
  transfer_report swap(const eviction_plan& leaving, const std::vector<std::string>& coming,
                       const transfer_options& options = {});

  /// All regions, in the order of allocation. Never waits for a transfer.
  [[nodiscard]] std::vector<region_info> regions() const;

  /// The arena that contents in host memory are kept in.
  [[nodiscard]] const host_arena& arena() const noexcept;

  /// Memory of devices whose regions are gone but which could not be given back. That is tried
  /// again at every transfer and before every reset of its device.
  [[nodiscard]] std::uint64_t leftover_bytes() const;

  /// The devices that regions live on, each once.
  [[nodiscard]] std::vector<device> devices() const;

 private:
  std::shared_ptr<detail::memory_state> state_;
};

}  // namespace lull

#endif  // LULL_MEMORY_HPP
