#include "swap_run.hpp"

#include <lull/bytes.hpp>
#include <lull/memory.hpp>
#include <lull/sleeper.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>

#include <fmt/format.h>

namespace lull::demo {
namespace {

/// As a model's tensors, so that there is something to take turns with.
constexpr std::uint64_t regions_of_a_set = 16;

/// Regions whose bytes tell whose they are.
class weights {
 public:
  weights(memory& of, const device& where, const std::string& tag, std::uint64_t bytes,
          std::byte value)
      : value_(value) {
    const std::uint64_t each = std::max<std::uint64_t>(bytes / regions_of_a_set, 1);
    for (std::uint64_t i = 0; i < regions_of_a_set; ++i) {
      regions_.push_back(of.allocate(where, each, {.tag = tag, .name = tag}));
      where.fill(regions_.back().address(), value, each);
    }
    where.synchronize();
  }

  [[nodiscard]] bool are_there() const {
    return std::all_of(regions_.begin(), regions_.end(), [this](const region& each) {
      if (each.state() != residency::resident) return false;
      const auto lease = each.acquire();
      const auto* const begin = static_cast<const std::byte*>(lease.address());
      const std::uint64_t last = lease.size_bytes() - 1;
      for (const std::uint64_t at : {std::uint64_t{0}, last / 2, last}) {
        std::byte seen{};
        each.device().copy_to_host(&seen, begin + at, 1);
        if (seen != value_) return false;
      }
      return true;
    });
  }

 private:
  std::byte value_;
  std::vector<region> regions_;
};

template <class Work>
std::chrono::duration<double> time_of(Work&& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return std::chrono::steady_clock::now() - begun;
}

eviction_plan offload(const std::string& tag) {
  return {.otherwise = contents_action::keep, .by_tag = {{tag, contents_action::offload}}};
}

/// Two sets of one memory object, by tag.
void swap_sets(const device& where, swap_result& result) {
  memory both;
  const weights first(both, where, "first", result.set_bytes, std::byte{0x11});
  both.evict(offload("first"));
  const weights second(both, where, "second", result.set_bytes, std::byte{0x22});
  both.swap(offload("second"), {"first"});  // so that host memory is there for both
  result.contents_equal = first.are_there();
  result.in_turn = time_of([&] {
    both.evict(offload("first"));
    both.restore({"second"});
  });
  result.contents_equal = result.contents_equal && second.are_there();
  result.at_once = time_of([&] { both.swap(offload("second"), {"first"}); });
  result.contents_equal = result.contents_equal && first.are_there();
}

/// Two models of one process, each with a sleeper of its own.
void swap_sleepers(const device& where, swap_result& result) {
  const host_arena arena;
  memory_options options;
  options.arena = arena;
  memory one(options);
  memory other(options);
  sleeper_options how;
  how.plan = plan_for(sleep_level::offload);
  sleeper first(how);
  sleeper second(how);
  first.manage(one);
  second.manage(other);
  const weights of_first(one, where, "weights", result.set_bytes, std::byte{0x33});
  first.sleep();
  const weights of_second(other, where, "weights", result.set_bytes, std::byte{0x44});
  swap(second, first);
  result.contents_equal = result.contents_equal && of_first.are_there();
  result.sleepers = time_of([&] { swap(first, second); });
  result.contents_equal = result.contents_equal && of_second.are_there();
}

}  // namespace

std::optional<swap_result> run_swap(const device& where, std::uint64_t most_bytes,
                                    const std::function<void(const std::string&)>& progress) {
  if (!where.supports(capability::streams) || where.supports(capability::host_accessible)) {
    return std::nullopt;
  }
  // Less than two fit at once, where there is not more.
  const auto free = where.memory().free_bytes;
  const std::uint64_t room = free ? *free / 3 * 2 : most_bytes;
  swap_result result;
  result.set_bytes = std::min(most_bytes, room) / regions_of_a_set * regions_of_a_set;
  if (result.set_bytes == 0) return std::nullopt;
  swap_sets(where, result);
  swap_sleepers(where, result);
  progress(fmt::format(
      "swap: {} out and as much in on {}: {:.3f} s in turn, {:.3f} s at once, {:.3f} s by two "
      "sleepers",
      format_bytes(result.set_bytes), where.name(), result.in_turn.count(), result.at_once.count(),
      result.sleepers.count()));
  return result;
}

std::vector<std::string> judge(const swap_result& what) {
  if (what.contents_equal) return {};
  return {"swap: contents came back different"};
}

}  // namespace lull::demo
