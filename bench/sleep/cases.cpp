#include "cases.hpp"

#include <lull/lull.hpp>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "model.hpp"
#include "outside.hpp"
#include "reference.hpp"
#include "results.hpp"
#include "timing.hpp"

namespace sleep_bench {
namespace {

using namespace lull::literals;
using json = nlohmann::json;

class measurement {
 public:
  measurement(lull::device where, const arguments& given)
      : where_(std::move(where)),
        given_(given),
        bytes_(lull::parse_bytes(given.size)),
        sizes_(mixed_sizes(bytes_, given.scale)),
        pins_(where_.supports(lull::capability::pinned) &&
              where_.supports(lull::capability::streams) &&
              !where_.supports(lull::capability::host_accessible)),
        observer_(observer()),
        results_(bytes_),
        used_before_(used_bytes()) {}

  json run() {
    const contents_file file(given_.directory, sizes_);
    for (int round = 0; round < given_.cycles; ++round) {
      offload();
      if (pins_) prepared();
      if (where_.supports(lull::capability::reset)) after_a_reset();
      if (where_.supports(lull::capability::suspend) && observer_) suspend();
      from_a_file(file.path());
      from_a_callback();
      if (pins_) {
        swap();
        swap_sleepers();
      }
    }
    return result();
  }

 private:
  using kind = model::kind;

  [[nodiscard]] lull::host_arena arena(std::optional<std::uint64_t> budget_bytes = {}) const {
    lull::host_arena_options how;
    how.budget_bytes = budget_bytes;
    how.slice_bytes = std::max<std::uint64_t>(how.slice_bytes / given_.scale, 2_MiB);
    return lull::host_arena(how);
  }
  [[nodiscard]] lull::memory_options options(const lull::host_arena& arena) const {
    lull::memory_options chosen;
    chosen.arena = arena;
    chosen.threads = given_.threads;
    chosen.chunk_bytes /= given_.scale;
    return chosen;
  }
  static lull::eviction_plan everything(lull::contents_action action) {
    return {.otherwise = action};
  }

  /// Taken just before the cases that it is for.
  void take_reference() {
    results_.set_limit(pins_ ? pinned_copy(where_, bytes_, given_.scale) : fresh_copy(sizes_));
  }

  /// What the process holds of the device; where that is not known, what all do.
  [[nodiscard]] std::uint64_t held_bytes() const {
    return where_.memory().used_by_process_bytes.value_or(used_bytes());
  }
  [[nodiscard]] std::uint64_t used_bytes() const {
    const lull::memory_info seen = where_.memory();
    return seen.total_bytes.value_or(0) - seen.free_bytes.value_or(0);
  }

  static timing evict(lull::memory& from, lull::contents_action action) {
    return time([&] { return from.evict(everything(action)); });
  }
  static timing restore(lull::memory& to) {
    return time([&] { return to.restore(); });
  }

  void offload() {
    lull::memory memory(options(arena()));
    model weights(where_, memory, sizes_, kind::plain, "weights");
    take_reference();
    for (const bool first : {true, false}) {
      const auto out = evict(memory, lull::contents_action::offload);
      const std::uint64_t left = held_bytes();
      settle_s_.push_back(seconds_of(
          [&] { static_cast<void>(lull::settle(std::vector<lull::device>{where_}, {})); }));
      const auto in = restore(memory);
      results_.add_cycle("offload", out, left, in);
      const std::optional<double> warm_in = pins_ ? 0.95 : 0.90;
      results_.add(first ? "sleep, first, nothing prepared" : "sleep, warm", way::out, out,
                   !pins_   ? std::nullopt
                   : !first ? std::optional(0.95)
                            : std::optional(0.45));
      results_.add(first ? "wake, first" : "wake, warm", way::in, in,
                   first ? std::nullopt : warm_in);
    }
    weights.check();
  }

  void prepared() {
    const lull::host_arena ready = arena();
    lull::memory memory(options(ready));
    model weights(where_, memory, sizes_, kind::plain, "weights");
    ready.prepare(where_, bytes_ + bytes_ / 32, {.threads = std::max(1u, given_.threads)});
    prepare_s_.push_back(seconds_of([&] { ready.wait_prepared(); }));
    take_reference();
    results_.add("sleep, first, prepared", way::out, evict(memory, lull::contents_action::offload),
                 0.95);
    results_.add("wake, prepared", way::in, restore(memory), 0.95);
    weights.check();
  }

  void after_a_reset() {
    lull::memory memory(options(arena()));
    model weights(where_, memory, sizes_, kind::plain, "weights");
    take_reference();
    auto out = evict(memory, lull::contents_action::offload);
    const double reset_s = seconds_of([&] { static_cast<void>(lull::dev_reset(where_)); });
    const std::uint64_t left = held_bytes();
    const double context_s = seconds_of([&] { where_.context_create(); });
    auto in = restore(memory);
    results_.add("wake after a reset", way::in, in, 0.80);
    out.total_s += reset_s;
    in.total_s += context_s;
    results_.add_cycle("reset", out, left, in);
    weights.check();
  }

  /// Contents to host memory as at level offload, and the rest by the driver.
  void suspend() {
    lull::memory memory(options(arena()));
    lull::sleeper_options how;
    how.plan = lull::plan_for(lull::sleep_level::suspend);
    how.suspend.observer = *observer_;
    how.suspend.host_margin_bytes = 256_MiB;
    lull::sleeper sleeping(how);
    sleeping.manage(memory);
    model weights(where_, memory, sizes_, kind::plain, "weights");
    const std::uint64_t total = where_.memory().total_bytes.value_or(0);
    take_reference();
    for (const bool first : {true, false}) {
      const auto out = time([&] { return sleeping.sleep(); });
      auto left = used_outside(*observer_, where_.name(), total);
      if (left) *left -= std::min(*left, used_before_);
      const auto in = time([&] {
        sleeping.wake();
        return sleeping.observe().last.value();
      });
      results_.add(first ? "sleep: suspend, first" : "sleep: suspend, warm", way::out, out,
                   std::nullopt);
      results_.add(first ? "wake: suspend, first" : "wake: suspend, warm", way::in, in,
                   std::nullopt);
      results_.add_cycle("suspend", out, left, in);
    }
    weights.check();
  }

  void from_a_file(const std::filesystem::path& path) {
    for (const bool registered : {true, false}) {
      if (registered && !where_.supports(lull::capability::read_only_registration)) continue;
      // Room for staging, but for little of the file.
      const auto budget = registered ? std::nullopt : std::optional(bytes_ / 16);
      lull::memory memory(options(arena(budget)));
      model weights(where_, memory, sizes_, kind::from_file, "weights", path);
      take_reference();
      const std::string name = registered ? "source, registered" : "source, staged";
      results_.add("load: " + name, way::in, restore(memory), std::nullopt);
      results_.add("sleep: " + name, way::out, evict(memory, lull::contents_action::discard),
                   std::nullopt);
      results_.add("wake: " + name, way::in, restore(memory), registered ? 0.95 : 0.85);
      weights.check();
    }
  }

  void from_a_callback() {
    lull::memory memory(options(arena()));
    model weights(where_, memory, sizes_, kind::from_callback, "weights");
    static_cast<void>(evict(memory, lull::contents_action::discard));
    static_cast<void>(restore(memory));
    take_reference();
    const auto out = evict(memory, lull::contents_action::discard);
    const std::uint64_t left = held_bytes();
    const auto in = restore(memory);
    results_.add("sleep: discard", way::out, out, std::nullopt);
    results_.add("wake: callback", way::in, in, pins_ ? std::optional(0.60) : std::nullopt);
    results_.add_cycle("discard", out, left, in);
    weights.check();
  }

  void swap() {
    lull::memory memory(options(arena()));
    const auto leave = [](const std::string& tag) {
      return lull::eviction_plan{.otherwise = lull::contents_action::keep,
                                 .by_tag = {{tag, lull::contents_action::offload}}};
    };
    model first(where_, memory, sizes_, kind::plain, "first");
    static_cast<void>(memory.evict(leave("first")));
    model second(where_, memory, sizes_, kind::plain, "second");
    static_cast<void>(memory.swap(leave("second"), {"first"}));
    take_reference();
    results_.add("swap, warm", way::both,
                 time([&] { return memory.swap(leave("first"), {"second"}); }), 1.75);
    second.check();
    static_cast<void>(memory.swap(leave("second"), {"first"}));
    first.check();
  }

  /// Two models of one process.
  void swap_sleepers() {
    const lull::host_arena shared = arena();
    lull::memory first(options(shared));
    lull::memory second(options(shared));
    lull::sleeper_options how;
    how.plan = lull::plan_for(lull::sleep_level::offload);
    lull::sleeper of_first(how);
    lull::sleeper of_second(how);
    of_first.manage(first);
    of_second.manage(second);
    model here(where_, first, sizes_, kind::plain, "weights");
    static_cast<void>(of_first.sleep());
    model there(where_, second, sizes_, kind::plain, "weights");
    static_cast<void>(lull::swap(of_second, of_first));
    take_reference();
    timing took;
    const double cpu_before = cpu_seconds();
    lull::swap_report done;
    took.total_s = seconds_of([&] { done = lull::swap(of_first, of_second); });
    took.cpu_s = cpu_seconds() - cpu_before;
    for (const auto& step : done.slept.steps)
      took.steps["sleep: " + step.name] += seconds(step.elapsed);
    for (const auto& step : done.woke.steps)
      took.steps["wake: " + step.name] += seconds(step.elapsed);
    results_.add("swap of two sleepers, warm", way::both, took, 1.75);
    there.check();
  }

  [[nodiscard]] json result() const {
    json facts{{"device", where_.name()},
               {"description", where_.description()},
               {"bytes", bytes_},
               {"scale", given_.scale},
               {"rounds", given_.cycles},
               {"threads", given_.threads},
               {"reference", pins_ ? "a copy of the same bytes through pinned memory"
                                   : "memcpy of the same bytes into fresh pages, by one thread"},
               {"settle_after_sleep_s", median(settle_s_)}};
    if (!prepare_s_.empty()) facts["prepare_s"] = median(prepare_s_);
    return results_.to_json(std::move(facts), pins_ ? "pinned_copy" : "fresh_copy");
  }

  lull::device where_;
  const arguments& given_;
  std::uint64_t bytes_;
  std::vector<std::uint64_t> sizes_;
  bool pins_;  ///< copies gain from pinned memory
  std::optional<std::vector<std::string>> observer_;
  results results_;
  std::uint64_t used_before_;  ///< of the device, by others
  std::vector<double> settle_s_;
  std::vector<double> prepare_s_;
};

}  // namespace

json run_cases(const lull::device& where, const arguments& given) {
  return measurement(where, given).run();
}

}  // namespace sleep_bench
