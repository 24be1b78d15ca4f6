#ifndef LULL_BUDGET_PLAN_HPP
#define LULL_BUDGET_PLAN_HPP

/// @file
/// Which models have to leave, and how far, so that another one fits: a pure function over figures.
/// lull/budget.hpp asks it and does what it says.

#include <lull/clock.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/export.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lull {

/// Memory on one device, which is named by its place in plan_books::devices.
struct device_bytes {
  std::uint32_t device = 0;
  std::uint64_t bytes = 0;
};

/// A device as a plan sees it. The memory of the host is one of them.
struct plan_device {
  std::string name;
  std::uint64_t capacity_bytes = 0;
  std::uint64_t margin_bytes = 0;   ///< to be kept free
  std::uint64_t foreign_bytes = 0;  ///< used by other programs, or by nobody knows whom
  /// What all models of plan_books hold together, and what was promised besides. add_up() fills it
  /// in; who keeps books of his own writes what they say.
  std::uint64_t held_bytes = 0;
};

/// A depth to which a model can be put away.
struct plan_level {
  std::string name;                     ///< "offload"
  std::vector<device_bytes> left = {};  ///< what it still holds then; each device once
  double wake_seconds = 0;              ///< how long it takes to come back from there
};

enum class model_state : std::uint8_t {
  unloaded,  ///< holds nothing
  asleep,    ///< put away to a level that leaves something
  loading,   ///< on its way in, from a file or from sleep
  ready,     ///< can serve
  leaving,   ///< chosen to be put away: nothing brings it back before that is done
};
LULL_API std::string_view to_string(model_state state) noexcept;

/// A model as a plan sees it.
struct plan_model {
  std::string name;
  model_state state = model_state::unloaded;
  std::vector<device_bytes> holds = {};  ///< now; each device once
  /// Shallow first. The last must leave least on each device. Without any it is never put away.
  std::vector<plan_level> levels = {};
  std::size_t depth = 0;     ///< how many of the levels it is down already; 0: awake
  std::uint32_t leases = 0;  ///< work under way
  bool pinned = false;       ///< never put away
  time_point keep_until{};   ///< not put away before: its minimum residence
  time_point last_used{};
  double uses_per_second = 0;  ///< as they were counted at its last use
};

/// Of how often a model was used, half counts after so long without a use. Replays of traffic come
/// to about the same from a fourth of it to three times it (bench/budget_replay.cpp).
inline constexpr duration use_half_life = std::chrono::minutes{20};

/// All that a plan is made from.
struct plan_books {
  std::vector<plan_device> devices;
  std::vector<plan_model> models;

  /// Sets held_bytes of each device to the sum of what the models hold.
  LULL_API void add_up();
};

/// Who wants what.
struct plan_request {
  /// The one that comes in, which is no victim of its own request; absent: nobody, room alone.
  std::optional<std::size_t> model = {};
  /// What it takes besides what it holds. Each device once; a device with 0 is brought within its
  /// limit too. Other devices may stay above theirs, but are not filled further.
  std::vector<device_bytes> extra = {};
  time_point now{};
  /// Also models that work, or have to be kept for some time yet: what would have to be waited for.
  bool take_busy = false;
};

/// One that has to leave.
struct plan_victim {
  std::size_t model = 0;
  std::size_t level = 0;  ///< of its levels
  /// What it costs that it leaves: seconds that are waited for it in a second to come, for each GiB
  /// that it frees. Who has the lowest leaves first.
  double key = 0;
};

enum class plan_outcome : std::uint8_t {
  planned,     ///< do as victims says, which may be nothing
  busy,        ///< not now, but when models that work, load, leave or are new are done
  impossible,  ///< not even with every model gone that may ever go
};
LULL_API std::string_view to_string(plan_outcome outcome) noexcept;

/// The sum for one device of the request:
/// `limit = capacity - margin - foreign`, and it fits when `extra <= limit - fixed - busy - idle`,
/// with as much of `idle` gone as is needed.
struct plan_sum {
  std::uint32_t device = 0;
  std::uint64_t extra_bytes = 0;    ///< what is asked for
  std::uint64_t limit_bytes = 0;    ///< what models may hold; 0 where others use all of it
  std::uint64_t held_bytes = 0;     ///< what they hold and were promised
  std::uint64_t idle_bytes = 0;     ///< of that, what can go now
  std::uint64_t busy_bytes = 0;     ///< of that, what can go later
  std::uint64_t missing_bytes = 0;  ///< what is short while nobody has left
};

struct plan_result {
  plan_outcome outcome = plan_outcome::planned;
  /// Only when planned: those that make room for what others leave on another device, then the
  /// others, both in the order of their keys.
  std::vector<plan_victim> victims;
  /// The devices of the request. Where everything fits as it is, idle_bytes and busy_bytes are 0:
  /// nobody looked.
  std::vector<plan_sum> sums;
};

/// Decides who leaves. Touches nothing, and looks at no clock.
///
/// Where it cannot fit even with everything gone that may go, nobody is chosen. Victims are ready
/// or asleep, without leases, not pinned, resident for long enough. They are ordered by what it
/// costs that they leave,
///
///     uses per second, fading with use_half_life * wake seconds / GiB freed where it is short
///
/// with the wake from the next deeper level (for one that sleeps: what that takes longer than from
/// where it is), ties by last use, then by place. Where models are used as often and wake at the
/// same cost per byte, that is least recently used. (The cost per byte is from GreedyDual-Size, Cao
/// and Irani 1997; uses that fade from LRFU, Lee and others 2001.) They are taken from the bottom
/// until all devices of the request fit; then from the top, each that is no longer needed stays.
///
/// Last, again from the top, each gets the shallowest level with which everything still fits. A
/// level that would fill another device beyond its limit (host memory, for contents that are kept
/// there) is passed over, unless sleepers that hold memory there cost less, by the same measure,
/// than going deeper costs the victim: then they go deeper instead.
///
/// n log n in the number of models, and again in that of the sleepers for each victim whose level
/// does not fit.
/// Thread-safe.
/// @throws error (invalid_argument) for a device or a model that the books do not have
[[nodiscard]] LULL_API plan_result plan_admission(const plan_books& books,
                                                  const plan_request& request);

/// The sums in words, one clause for each device that is short:
/// "CUDA0 lacks 2 GiB: 8 GiB asked for, ...". For refusals.
[[nodiscard]] LULL_API std::string describe(const plan_result& result, const plan_books& books);

}  // namespace lull

#endif  // LULL_BUDGET_PLAN_HPP
