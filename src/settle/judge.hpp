#ifndef LULL_SETTLE_JUDGE_HPP
#define LULL_SETTLE_JUDGE_HPP

#include <lull/settle.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lull::detail {

/// How the judge decides. Public options say how long and how often; these say what counts.
namespace settle_rule {

/// For how long nothing may have moved. The distance of unsloth's two samples; several processes or
/// pools that drain one after the other pause for less.
inline constexpr duration quiet = std::chrono::milliseconds{250};

/// Before this has passed since the release, quiet proves nothing. Reclaim starts tens to hundreds
/// of ms after a release. Where something came back already, it has begun.
inline constexpr duration dwell_once_moved = std::chrono::milliseconds{300};
/// Where nothing came back, or less than was expected, it may still be to come. ComfyUI's users saw
/// two equal readings from before the reclaim pass for settled until it waited 1 s at least; ollama
/// found releases complete after 0.5 to 1.5 s.
inline constexpr duration dwell_unmoved = std::chrono::seconds{1};

/// A steady rise above this is a release under way, however well neighbouring samples agree. Slower
/// ones bring half of the agreement floor within the default wait, so they cannot matter.
inline constexpr double slow_release_bytes_per_second = 64.0 * (1 << 20);

/// An expected gain counts as arrived when at most 1/16 of it is missing, and never more than half
/// of the tolerance for free memory: sizes are rounded, and other processes allocate meanwhile.
inline constexpr std::uint64_t gain_slack_share = 16;
inline constexpr std::uint64_t gain_slack_cap_bytes = 128ull << 20;

}  // namespace settle_rule

/// How much of an expected gain may be missing.
[[nodiscard]] std::uint64_t gain_slack(std::uint64_t gain_bytes) noexcept;

/// What the figures are of, and hence how much they may differ by themselves.
struct settle_tolerance {
  std::uint64_t floor_bytes = 0;
  std::uint64_t share = 0;  ///< of the larger figure: 1/share; 0: none
  /// What must have come back to count as a beginning.
  std::uint64_t movement_bytes = 1;

  /// What is tolerated between two figures of one device.
  [[nodiscard]] std::uint64_t between(std::uint64_t a, std::uint64_t b) const noexcept;
};
/// Free memory, of which other processes take and give. Two figures agree that differ by at most
/// the larger of a floor above the smallest driver contexts and a share for large cards
/// (unslothai/unsloth pull request 5693); a movement is more than others' small allocations.
inline constexpr settle_tolerance of_free_memory{256ull << 20, 50, 128ull << 20};
/// What this process holds: nobody else changes it.
inline constexpr settle_tolerance of_own_memory{};

/// Judges one device by its samples. No thread, no clock: time is what it is told.
class device_judge {
 public:
  /// @param expected null: nothing is
  device_judge(const memory_reading& first, const settle_expectation* expected,
               std::optional<time_point> released_at, const settle_tolerance& tolerance);

  /// @param asked_at when the figure was asked for: it may be as old as that
  void add(const memory_info& memory, time_point asked_at);

  [[nodiscard]] bool decided() const noexcept;
  /// The earliest moment at which a further sample could decide. Meaningful while not decided.
  [[nodiscard]] time_point earliest_decision() const noexcept;
  [[nodiscard]] const std::string& name() const noexcept { return report_.device; }
  /// Whether this reading can be of the same device.
  [[nodiscard]] bool same_size(const memory_reading& reading) const noexcept {
    return reading.memory.total_bytes == total_bytes_;
  }
  [[nodiscard]] device_settlement report(time_point started_at, time_point ended_at) const;

 private:
  struct point {
    time_point at;
    std::uint64_t free_bytes;
  };

  void expect(const settle_expectation& expected);
  [[nodiscard]] bool gain_arrived() const noexcept;
  [[nodiscard]] bool nothing_more_can_come() const noexcept;
  [[nodiscard]] std::optional<time_point> moved_since() const noexcept;
  [[nodiscard]] time_point dwell_ends() const noexcept;
  [[nodiscard]] bool is_quiet() const noexcept;
  [[nodiscard]] bool is_rising(std::size_t first) const noexcept;
  [[nodiscard]] double slope(std::size_t first, std::size_t last) const noexcept;

  device_settlement report_;
  settle_tolerance tolerance_;
  bool is_book_;
  std::optional<std::uint64_t> total_bytes_;
  std::uint64_t expected_gain_ = 0;
  time_point released_at_{};
  time_point decided_at_{};
  std::vector<point> points_;
};

/// Judges all devices: feed it samples, it says when to look again. Pure: no thread, no clock.
class settle_judge {
 public:
  /// A device's last release, as far as that is recent enough to wait for.
  using released_lookup = std::function<std::optional<release_mark>(std::string_view device)>;

  /// @param options must outlive the judge
  settle_judge(const settle_options& options, released_lookup released, time_point started_at,
               const settle_tolerance& tolerance = of_free_memory);

  /// One look at all devices.
  /// @return when to look next, before the deadline; nothing when the wait is over
  [[nodiscard]] std::optional<time_point> add(const std::vector<memory_reading>& sample,
                                              time_point asked_at, time_point answered_at);
  /// Ends the wait for a reason of the outside.
  void end(settle_status status, std::string reason) noexcept;

  [[nodiscard]] time_point started_at() const noexcept { return started_at_; }
  [[nodiscard]] time_point deadline() const noexcept { return deadline_; }
  /// Whether there was a sample that named devices.
  [[nodiscard]] bool has_devices() const noexcept { return !devices_.empty(); }
  [[nodiscard]] settle_result result(time_point ended_at) const;

 private:
  void start(const std::vector<memory_reading>& sample);
  void compare(const std::vector<memory_reading>& sample);
  void time_out();
  void skip(settle_skip why);
  [[nodiscard]] std::optional<time_point> next_look(time_point asked_at, time_point answered_at);

  const settle_options& options_;
  released_lookup released_;
  time_point started_at_;
  time_point deadline_;
  duration interval_;
  settle_tolerance tolerance_;
  std::vector<device_judge> devices_;
  std::optional<settle_status> status_;
  settle_skip skip_ = settle_skip::none;
  std::string reason_;
};

}  // namespace lull::detail

#endif  // LULL_SETTLE_JUDGE_HPP
