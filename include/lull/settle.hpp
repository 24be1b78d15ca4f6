#ifndef LULL_SETTLE_HPP
#define LULL_SETTLE_HPP

/// @file
/// Waiting until memory that was released is really back, before anybody measures what is free.
///
/// After memory is freed or a process ends, the driver may return its VRAM a little later. Whoever
/// releases memory marks a release_clock, with how much comes back if that is known; whoever
/// measures next calls settle() first, which costs one look when all is back and is bounded when it
/// is not.

#include <lull/clock.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/device.hpp>
#include <lull/export.h>
#include <lull/stop.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lull {

namespace detail {
class probe_thread;
}

/// What is known of a release, so that settle() can see that it is over.
struct release_gain {
  std::uint64_t bytes = 0;  ///< how much comes back; 0: not known
  /// What was free on the device just before. Without it the gain is of no use.
  std::optional<std::uint64_t> free_before_bytes = {};

  [[nodiscard]] bool known() const noexcept { return bytes != 0 && free_before_bytes; }
  friend bool operator==(const release_gain& a, const release_gain& b) noexcept {
    return a.bytes == b.bytes && a.free_before_bytes == b.free_before_bytes;
  }
  friend bool operator!=(const release_gain& a, const release_gain& b) noexcept {
    return !(a == b);
  }
};

/// A release on a device.
struct release_mark {
  time_point at{};
  release_gain gain = {};
};

/// Remembers when memory was last released, per device, and how much. Whoever releases marks it: a
/// reset, a sleep, the end of a child process, an eviction.
///
/// Releases within a second of each other count as one, with the gains of both; if one of them is
/// not known, that of both is not.
///
/// All functions are thread-safe, return at once, call nothing of the caller's and hold only a lock
/// of their own for moments, so a release may be marked from anywhere.
class LULL_API release_clock {
 public:
  /// @param time must outlive the object
  explicit release_clock(const lull::clock& time = steady_clock());
  ~release_clock();
  release_clock(const release_clock&) = delete;
  release_clock& operator=(const release_clock&) = delete;

  /// Memory of this device was released now.
  void mark(std::string_view device_name, const release_gain& gain = {});
  void mark(const device& where, const release_gain& gain = {}) { mark(where.name(), gain); }
  /// Memory was released now, and it is not known where: counts for every device.
  void mark_all() noexcept;
  /// As mark, for a release that is known to have happened at another moment. Never moves a mark
  /// backwards; a moment that is still to come counts as now.
  void mark_at(std::string_view device_name, time_point at, const release_gain& gain = {});

  /// The last release on this device, mark_all() included. Absent when there was none.
  [[nodiscard]] std::optional<time_point> last(std::string_view device_name) const;
  /// The same with what comes back.
  [[nodiscard]] std::optional<release_mark> last_release(std::string_view device_name) const;
  /// The last release on any device. Takes no lock.
  [[nodiscard]] std::optional<time_point> latest() const noexcept;

  [[nodiscard]] const lull::clock& time() const noexcept;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// What a probe says of one device.
struct memory_reading {
  std::string device;  ///< unique within a sample
  memory_info memory;
};

/// Answers how much memory is free, on one device or on several at once. Copies are one probe.
///
/// It is asked on a thread of its own, so that a call which never returns costs its caller no more
/// than the caller's deadline. While such a call hangs, further questions to the same probe are
/// turned away at once; what `read` refers to must live until it returns.
class LULL_API memory_probe {
 public:
  /// Returns one reading per device. What it throws is the reason why the probe failed; an error
  /// with status `not_found` says that a device is gone. Must not create a context: that would take
  /// memory from what it measures.
  using read_callback = std::function<std::vector<memory_reading>()>;

  /// @param name for messages, "nvml"
  /// @throws error (invalid_argument) for an empty `read`
  memory_probe(std::string name, read_callback read);
  /// Asks device::memory(). All probes of one physical device share one thread for the rest of the
  /// process, also those of other registries.
  explicit memory_probe(const device& where);

  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  friend struct probe_access;
  std::string name_;
  std::shared_ptr<const read_callback> read_;
  std::shared_ptr<detail::probe_thread> thread_;
};

/// What is known beforehand about the memory that comes back on one device, for callers whose
/// release_clock does not know it.
struct settle_expectation {
  std::string device;
  std::uint64_t gain_bytes = 0;  ///< how much was released; 0: not known
  /// What was free before the release. Without it the first sample stands for it, which is right
  /// only if nothing had come back by then.
  std::optional<std::uint64_t> baseline_free_bytes = {};
};

/// One look at all devices.
struct settle_sample {
  duration since_start{};
  const std::vector<memory_reading>& readings;  ///< valid during the call only
};

struct settle_options {
  /// The longest that settle() takes, the probes' own time included. 2 s: twice to four times what
  /// ollama's scheduler and unsloth studio saw releases take.
  duration max_wait = std::chrono::seconds{2};
  /// A release that is longer ago than this is not waited for (unslothai/unsloth pull request
  /// 5693).
  duration stale_after = std::chrono::seconds{15};
  /// Between the first two samples, and the longest between any two. Grows by half each time, and
  /// is never shorter than the last sample took.
  duration first_interval = std::chrono::milliseconds{10};
  duration longest_interval = std::chrono::milliseconds{25};

  /// When memory was released: the later of the two counts, per device. With neither there is
  /// nothing to wait for. `releases` is read only during the call.
  const release_clock* releases = nullptr;
  std::optional<time_point> released_at = {};

  /// Counts before what the marks of `releases` say.
  std::vector<settle_expectation> expected = {};

  stop_view stop = {};  ///< ends the wait early, also while a probe hangs
  /// Called on the caller's thread after every sample, without any lock. What it throws leaves
  /// settle().
  std::function<void(const settle_sample&)> on_sample = {};
  /// Null: that of `releases`, or else the steady clock.
  const lull::clock* time = nullptr;
};

enum class settle_status : std::uint8_t {
  settled,          ///< every device that was waited for has settled
  timed_out,        ///< max_wait is over; also when a probe did not return in time
  skipped,          ///< there was nothing to wait for; see settle_result::skip
  probe_failed,     ///< a probe could not say what is free; see settle_result::reason
  devices_changed,  ///< a device appeared, vanished or changed its size between samples
  cancelled,        ///< options.stop was set
};
LULL_API std::string_view to_string(settle_status status) noexcept;

/// Why there was nothing to wait for.
enum class settle_skip : std::uint8_t {
  none,               ///< it was not skipped
  nothing_released,   ///< no release is recorded for any of the devices
  released_long_ago,  ///< the last one is older than stale_after
  no_device,          ///< no device was given, or the probes know none
  free_unknown,       ///< no device can say what is free
};
LULL_API std::string_view to_string(settle_skip why) noexcept;

/// What became of one device.
enum class settle_verdict : std::uint8_t {
  waiting,       ///< had not settled when the wait ended
  gained,        ///< the expected gain has arrived
  stable,        ///< what is free has stopped changing, or nothing more can come back
  not_released,  ///< no recent release is recorded here: was not waited for
  unknown,       ///< does not say what is free: was not waited for
};
LULL_API std::string_view to_string(settle_verdict verdict) noexcept;

/// What became of the gain that was expected on a device.
enum class settle_gain : std::uint8_t {
  none_expected,
  arrived,
  already_there,  ///< in the very first sample
  not_seen,       ///< less has come back: an estimate, or a baseline taken after the release
  impossible,     ///< baseline and gain exceed the device's size: the baseline was taken too late
};
LULL_API std::string_view to_string(settle_gain gain) noexcept;

/// One device in a settle_result.
struct device_settlement {
  std::string device;
  settle_verdict verdict = settle_verdict::waiting;
  settle_gain gain = settle_gain::none_expected;
  std::optional<std::uint64_t> before_bytes =
      {};                                         ///< free: the given baseline, or the first sample
  std::optional<std::uint64_t> after_bytes = {};  ///< free: the last sample
  std::uint32_t samples = 0;
  duration elapsed{};  ///< until it settled, or until the wait ended

  /// What came back; negative when less is free than before. Cannot wrap.
  [[nodiscard]] std::optional<std::int64_t> gained_bytes() const noexcept {
    if (!before_bytes || !after_bytes) return std::nullopt;
    return static_cast<std::int64_t>(*after_bytes - *before_bytes);
  }
};

struct settle_result {
  settle_status status = settle_status::skipped;
  settle_skip skip = settle_skip::none;
  std::string reason;  ///< for people; empty when settled or skipped
  /// In the order of the first sample; empty when there was none.
  std::vector<device_settlement> devices;
  duration elapsed{};
};

/// Waits until released memory is back, on every device by itself.
///
/// A device has settled at the first look at which
/// - the expected gain has arrived: marks with a release_gain, or settle_options::expected;
/// - or nothing more can come back that matters: at most max(256 MiB, 2 % of what is free) is in
///   use, or the figures are books that are kept as memory is given back
///   (memory_source::accounting: the host);
/// - or nothing moves any more: all samples of the last 250 ms agree within max(256 MiB, 2 % of the
///   larger), no slow steady release shows in them, and enough time has passed since the release
///   that it must have begun: 300 ms where something came back already, and that 250 ms ago; 1 s
///   where nothing did, or less than expected. So two readings from before the reclaim do not pass
///   for its result.
///
/// Say therefore how much is released, and mark only devices that really released something: every
/// other marked device that is in use by others costs 1 s.
///
/// Blocks for at most options.max_wait, whatever the probes do. Reads no figure at all when there
/// is nothing to wait for. Thread-safe; hold no lock that a probe or on_sample needs.
/// @throws error (invalid_argument) for a negative max_wait or stale_after, or intervals that are
///         not positive or in the wrong order. What is wrong with devices or probes is never thrown
///         but returned.
[[nodiscard]] LULL_API settle_result settle(const std::vector<device>& devices,
                                            const settle_options& options);
/// As above, with probes of the caller's. Together they make one sample.
[[nodiscard]] LULL_API settle_result settle(const std::vector<memory_probe>& probes,
                                            const settle_options& options);

}  // namespace lull

#endif  // LULL_SETTLE_HPP
