// One device: has what was released come back, or does nothing move any more?

#include <algorithm>

#include "settle/judge.hpp"

namespace lull::detail {
namespace {

/// a - b, or 0 where b is larger.
std::uint64_t above(std::uint64_t a, std::uint64_t b) noexcept {
  return a > b ? a - b : 0;
}

double seconds(duration span) noexcept {
  return std::chrono::duration<double>(span).count();
}

/// `from + span`, which stays at the end of time instead of overflowing.
time_point later(time_point from, duration span) noexcept {
  return from > time_point::max() - span ? time_point::max() : from + span;
}

}  // namespace

std::uint64_t gain_slack(std::uint64_t gain_bytes) noexcept {
  return std::min(gain_bytes / settle_rule::gain_slack_share, settle_rule::gain_slack_cap_bytes);
}

std::uint64_t settle_tolerance::between(std::uint64_t a, std::uint64_t b) const noexcept {
  return share == 0 ? floor_bytes : std::max(floor_bytes, std::max(a, b) / share);
}

device_judge::device_judge(const memory_reading& first, const settle_expectation* expected,
                           std::optional<time_point> released_at, const settle_tolerance& tolerance)
    : tolerance_(tolerance),
      is_book_(first.memory.source == memory_source::accounting),
      total_bytes_(first.memory.total_bytes) {
  report_.device = first.device;
  if (!released_at) {
    report_.verdict = settle_verdict::not_released;
  } else if (!first.memory.free_bytes) {
    report_.verdict = settle_verdict::unknown;
  } else {
    released_at_ = *released_at;
  }
  report_.before_bytes = first.memory.free_bytes;
  if (expected != nullptr) expect(*expected);
}

void device_judge::expect(const settle_expectation& expected) {
  if (expected.baseline_free_bytes) report_.before_bytes = expected.baseline_free_bytes;
  if (expected.gain_bytes == 0 || !report_.before_bytes) return;
  const bool fits =
      !total_bytes_ || expected.gain_bytes <= above(*total_bytes_, *report_.before_bytes);
  report_.gain = fits ? settle_gain::not_seen : settle_gain::impossible;
  if (fits) expected_gain_ = expected.gain_bytes;
}

void device_judge::add(const memory_info& memory, time_point asked_at) {
  ++report_.samples;
  report_.after_bytes = memory.free_bytes;
  if (report_.verdict == settle_verdict::not_released ||
      report_.verdict == settle_verdict::unknown) {
    return;
  }
  points_.push_back({asked_at, *memory.free_bytes});
  // What has arrived stays arrived, also when somebody else takes it at once.
  if (report_.verdict == settle_verdict::gained) return;

  const settle_verdict before = report_.verdict;
  if (gain_arrived()) {
    report_.verdict = settle_verdict::gained;
    report_.gain = report_.samples == 1 ? settle_gain::already_there : settle_gain::arrived;
  } else {
    // Judged anew each time: a device that moves again while others drain has not settled.
    const bool settled = is_book_ || nothing_more_can_come() || is_quiet();
    report_.verdict = settled ? settle_verdict::stable : settle_verdict::waiting;
  }
  if (report_.verdict != before) decided_at_ = asked_at;
}

bool device_judge::decided() const noexcept {
  return report_.verdict != settle_verdict::waiting;
}

bool device_judge::gain_arrived() const noexcept {
  if (expected_gain_ == 0) return false;
  return above(points_.back().free_bytes, *report_.before_bytes) >=
         expected_gain_ - gain_slack(expected_gain_);
}

/// Whether so little is in use, by anybody, that it would not matter if all of it came back.
bool device_judge::nothing_more_can_come() const noexcept {
  const std::uint64_t free = points_.back().free_bytes;
  return total_bytes_ && above(*total_bytes_, free) <= tolerance_.between(free, free);
}

/// When something had come back for the first time.
std::optional<time_point> device_judge::moved_since() const noexcept {
  const std::uint64_t start = *report_.before_bytes;
  const auto moved = std::find_if(points_.begin(), points_.end(), [&](const point& each) {
    return above(each.free_bytes, start) >= tolerance_.movement_bytes;
  });
  if (moved == points_.end()) return std::nullopt;
  return moved->at;
}

/// Before this, quiet proves nothing.
time_point device_judge::dwell_ends() const noexcept {
  const time_point unmoved = later(released_at_, settle_rule::dwell_unmoved);
  const auto moved = moved_since();
  if (expected_gain_ != 0 || !moved) return unmoved;
  // What only just began to move has not come to rest, however little it is on a large card.
  const time_point at_rest = later(*moved, settle_rule::quiet);
  return std::min(unmoved, std::max(later(released_at_, settle_rule::dwell_once_moved), at_rest));
}

bool device_judge::is_quiet() const noexcept {
  const point& last = points_.back();
  if (last.at < dwell_ends()) return false;
  std::uint64_t lowest = last.free_bytes;
  std::uint64_t highest = last.free_bytes;
  for (std::size_t at = points_.size() - 1; at-- > 0;) {
    lowest = std::min(lowest, points_[at].free_bytes);
    highest = std::max(highest, points_[at].free_bytes);
    if (highest - lowest > tolerance_.between(lowest, highest)) return false;
    if (last.at - points_[at].at >= settle_rule::quiet) {
      return !is_rising(at);
    }
  }
  return false;
}

/// Whether a slow steady release shows since points_[first]. Each half is asked by itself too: when
/// another process takes memory meanwhile, the fall hides the rise in its own half only.
bool device_judge::is_rising(std::size_t first) const noexcept {
  const std::size_t last = points_.size() - 1;
  const std::size_t middle = first + (last - first) / 2;
  const auto rises = [this](std::size_t from, std::size_t to) {
    return slope(from, to) > settle_rule::slow_release_bytes_per_second;
  };
  return rises(first, last) || rises(first, middle) || rises(middle, last);
}

/// The least-squares slope over points_[first] to points_[last], in bytes per second; 0 for one.
double device_judge::slope(std::size_t first, std::size_t last) const noexcept {
  const auto count = static_cast<double>(last - first + 1);
  const point& origin = points_[first];
  double sum_t = 0;
  double sum_y = 0;
  double sum_tt = 0;
  double sum_ty = 0;
  for (std::size_t at = first; at <= last; ++at) {
    const double t = seconds(points_[at].at - origin.at);
    // The difference modulo 2^64 read as signed: exact for any two sizes of one device.
    const auto y =
        static_cast<double>(static_cast<std::int64_t>(points_[at].free_bytes - origin.free_bytes));
    sum_t += t;
    sum_y += y;
    sum_tt += t * t;
    sum_ty += t * y;
  }
  const double spread = count * sum_tt - sum_t * sum_t;
  return spread > 0 ? (count * sum_ty - sum_t * sum_y) / spread : 0;
}

time_point device_judge::earliest_decision() const noexcept {
  const point& last = points_.back();
  std::uint64_t lowest = last.free_bytes;
  std::uint64_t highest = last.free_bytes;
  time_point agreeing_since = last.at;
  for (auto each = points_.rbegin(); each != points_.rend(); ++each) {
    lowest = std::min(lowest, each->free_bytes);
    highest = std::max(highest, each->free_bytes);
    if (highest - lowest > tolerance_.between(lowest, highest)) break;
    agreeing_since = each->at;
  }
  return std::max(dwell_ends(), later(agreeing_since, settle_rule::quiet));
}

device_settlement device_judge::report(time_point started_at, time_point ended_at) const {
  device_settlement copy = report_;
  const bool settled =
      copy.verdict == settle_verdict::gained || copy.verdict == settle_verdict::stable;
  copy.elapsed = (settled ? decided_at_ : ended_at) - started_at;
  return copy;
}

}  // namespace lull::detail
