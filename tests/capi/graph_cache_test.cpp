// The graph cache by the C API: what C callers rely on, bad arguments, threads, and exceptions. What
// the cache does in depth is tested in C++, in tests/unit/graph_cache_*.cpp.

#include <lull/lull.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

thread_local std::uint64_t allocations_of_this_thread = 0;

void* counted_allocation(std::size_t bytes) {
  ++allocations_of_this_thread;
  if (void* const memory = std::malloc(bytes != 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}

}  // namespace

// Replaced for the whole program, so that a test can see whether a call allocates.
void* operator new(std::size_t bytes) {
  return counted_allocation(bytes);
}
void* operator new[](std::size_t bytes) {
  return counted_allocation(bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t MiB = std::uint64_t{1} << 20;

template <class Struct>
Struct sized() {
  Struct value{};
  value.struct_size = sizeof value;
  return value;
}

constexpr lull_graph_key number(std::uint64_t low) {
  return {0, low};
}

constexpr std::uint64_t vendor_node_bytes = 10;

/// A vendor whose graphs are numbers of its own. Everything it is told is on its lists.
struct vendor {
  std::vector<std::uintptr_t> destroyed;
  int synchronizations = 0;
  int trims = 0;
  lull_status answer = LULL_OK;
  std::uint64_t footprint_bytes = LULL_UNKNOWN;
  std::uint64_t used_bytes = LULL_UNKNOWN;
  bool throws = false;

  static vendor& of(void* user) {
    auto& self = *static_cast<vendor*>(user);
    if (self.throws) throw std::runtime_error("from C++");
    return self;
  }
  [[nodiscard]] lull_graph_driver driver() {
    auto made = sized<lull_graph_driver>();
    made.destroy = [](void* user, void* graph) {
      of(user).destroyed.push_back(reinterpret_cast<std::uintptr_t>(graph));
      return of(user).answer;
    };
    made.before_destroy = [](void* user) {
      ++of(user).synchronizations;
      return of(user).answer;
    };
    made.trim = [](void* user) {
      ++of(user).trims;
      return of(user).answer;
    };
    made.footprint = [](void* user, void*, std::uint64_t nodes) {
      return nodes != LULL_UNKNOWN ? nodes * vendor_node_bytes : of(user).footprint_bytes;
    };
    made.used_bytes = [](void* user) { return of(user).used_bytes; };
    made.user = this;
    return made;
  }
};

/// What a capture is told to do, and how often it ran.
struct recipe {
  std::uintptr_t graph = 0;
  std::uint64_t bytes = LULL_UNKNOWN;
  lull_status answer = LULL_OK;
  std::uint64_t nodes = LULL_UNKNOWN;
  int calls = 0;

  static lull_status capture(void* user, lull_captured_graph* captured) {
    auto& self = *static_cast<recipe*>(user);
    ++self.calls;
    EXPECT_EQ(captured->struct_size, sizeof *captured);
    EXPECT_EQ(captured->graph, nullptr);
    EXPECT_EQ(captured->bytes, LULL_UNKNOWN);
    captured->graph = reinterpret_cast<void*>(self.graph);
    captured->bytes = self.bytes;
    captured->nodes = self.nodes;
    return self.answer;
  }
};

std::uintptr_t value(const lull_graph_pin& pin) {
  return reinterpret_cast<std::uintptr_t>(pin.graph);
}

class CGraphCache : public testing::Test {
 protected:
  CGraphCache() {
    lull_graph_cache_options_init(&options_);
    options_.driver = &driver_;
  }
  ~CGraphCache() override { lull_graph_cache_destroy(cache_); }

  void create() {
    lull_graph_cache_destroy(std::exchange(cache_, nullptr));
    ASSERT_EQ(lull_graph_cache_create(&options_, &cache_), LULL_OK) << lull_last_error_message();
  }

  lull_graph_pin get(std::uint64_t key, std::uint64_t bytes = LULL_UNKNOWN) {
    return get_from(cache_, key, bytes);
  }
  static lull_graph_pin get_from(lull_graph_cache* cache, std::uint64_t key, std::uint64_t bytes) {
    recipe how{1000 + key, bytes};
    lull_graph_pin pin{};
    EXPECT_EQ(
        lull_graph_cache_get_or_capture(cache, number(key), recipe::capture, &how, nullptr, &pin),
        LULL_OK)
        << lull_last_error_message();
    return pin;
  }
  /// Captured and in use by nobody.
  void put(std::uint64_t key, std::uint64_t bytes = LULL_UNKNOWN) {
    lull_graph_pin pin = get(key, bytes);
    lull_graph_pin_release(&pin);
  }
  /// 0 when it is not there.
  std::uintptr_t look_up(lull_graph_key key) {
    lull_graph_pin pin{};
    EXPECT_EQ(lull_graph_cache_find(cache_, key, &pin), LULL_OK);
    const std::uintptr_t found = value(pin);
    lull_graph_pin_release(&pin);
    return found;
  }
  lull_graph_cache_stats stats() {
    auto seen = sized<lull_graph_cache_stats>();
    EXPECT_EQ(lull_graph_cache_get_stats(cache_, &seen), LULL_OK);
    return seen;
  }

  vendor vendor_;
  lull_graph_driver driver_ = vendor_.driver();
  lull_graph_cache_options options_{};
  lull_graph_cache* cache_ = nullptr;
};

// --- Lookup and capture -----------------------------------------------------------------------

TEST_F(CGraphCache, CapturesOnceAndFindsFromThenOn) {
  create();
  EXPECT_EQ(look_up(number(1)), 0U) << "no failure, and nothing there";
  recipe how{7};
  for (int i = 0; i < 3; ++i) {
    lull_graph_pin pin{};
    ASSERT_EQ(
        lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &how, nullptr, &pin),
        LULL_OK);
    EXPECT_EQ(value(pin), 7U);
    lull_graph_pin_release(&pin);
  }
  EXPECT_EQ(how.calls, 1);
  EXPECT_EQ(look_up(number(1)), 7U);
  const auto seen = stats();
  EXPECT_EQ(seen.hits, 3U);
  EXPECT_EQ(seen.misses, 2U);
  EXPECT_EQ(seen.captures, 1U);
  EXPECT_EQ(seen.entries, 1U);
  EXPECT_EQ(seen.unknown_footprints, 1U);
  lull_graph_cache_destroy(std::exchange(cache_, nullptr));
  EXPECT_THAT(vendor_.destroyed, ElementsAre(7U));
}

TEST_F(CGraphCache, BothHalvesOfAKeyCount) {
  create();
  // The last has the hash of the first: high times this factor is taken into low.
  const std::array<lull_graph_key, 5> keys{
      {{0, 0}, {0, 1}, {1, 0}, {UINT64_MAX, UINT64_MAX}, {1, 0xC2B2AE3D27D4EB4FU}}};
  for (std::size_t i = 0; i < keys.size(); ++i) {
    recipe how{10 + i};
    lull_graph_pin pin{};
    ASSERT_EQ(
        lull_graph_cache_get_or_capture(cache_, keys[i], recipe::capture, &how, nullptr, &pin),
        LULL_OK);
    lull_graph_pin_release(&pin);
    EXPECT_EQ(how.calls, 1);
  }
  for (std::size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(look_up(keys[i]), 10 + i);
}

TEST_F(CGraphCache, APinSurvivesEviction) {
  options_.limits.entries = 1;
  create();
  lull_graph_pin pin = get(1);
  int32_t erased = -1;
  EXPECT_EQ(lull_graph_cache_erase(cache_, number(1), &erased), LULL_OK);
  EXPECT_EQ(erased, 1);
  EXPECT_EQ(lull_graph_cache_erase(cache_, number(1), &erased), LULL_OK);
  EXPECT_EQ(erased, 0);
  EXPECT_EQ(look_up(number(1)), 0U);
  EXPECT_EQ(value(pin), 1001U);
  EXPECT_THAT(vendor_.destroyed, IsEmpty());
  EXPECT_EQ(stats().pins, 1U);
  EXPECT_EQ(stats().leaving_entries, 1U);

  lull_graph_pin_release(&pin);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
  EXPECT_EQ(pin.graph, nullptr);
  lull_graph_pin_release(&pin);
  EXPECT_EQ(vendor_.destroyed.size(), 1U) << "a second release is harmless";
  EXPECT_EQ(stats().pins, 0U);
}

TEST_F(CGraphCache, APinMayBeCopiedAndReleasedOnAnotherThread) {
  create();
  const lull_graph_pin pin = get(1);
  EXPECT_EQ(lull_graph_cache_erase(cache_, number(1), nullptr), LULL_OK);
  std::thread([copy = pin]() mutable { lull_graph_pin_release(&copy); }).join();
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
}

TEST_F(CGraphCache, APinOutlivesACacheThatWasDestroyedTooEarly) {
  create();
  lull_graph_pin pin = get(1);
  lull_graph_cache_destroy(std::exchange(cache_, nullptr));
  EXPECT_THAT(vendor_.destroyed, IsEmpty());
  lull_graph_pin_release(&pin);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
}

TEST_F(CGraphCache, AHitAllocatesNothing) {
  create();
  put(1);
  recipe unused;
  EXPECT_EQ(look_up(number(1)), 1001U);  // gives this thread its reader
  const std::uint64_t before = allocations_of_this_thread;
  for (int i = 0; i < 100; ++i) {
    lull_graph_pin found{};
    lull_graph_pin got{};
    const lull_status first = lull_graph_cache_find(cache_, number(1), &found);
    const lull_status second =
        lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &unused, nullptr, &got);
    if (first != LULL_OK || second != LULL_OK || found.graph != got.graph) ADD_FAILURE();
    lull_graph_pin_release(&got);
    lull_graph_pin_release(&found);
  }
  EXPECT_EQ(allocations_of_this_thread - before, 0U);
  put(2);
  EXPECT_GT(allocations_of_this_thread, before) << "the counter counts";
  EXPECT_EQ(unused.calls, 0);
}

// --- Captures that fail -----------------------------------------------------------------------

TEST_F(CGraphCache, ACapturesOwnStatusIsTheResult) {
  create();
  recipe how{7, LULL_UNKNOWN, LULL_ERROR_BACKEND};
  lull_graph_pin pin{reinterpret_cast<void*>(4711), {}};
  const auto get_or_capture = [&] {
    return lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &how, nullptr, &pin);
  };
  EXPECT_EQ(get_or_capture(), LULL_ERROR_BACKEND);
  EXPECT_STREQ(lull_last_error_message(), "the capture callback returned LULL_ERROR_BACKEND");
  how.answer = static_cast<lull_status>(99);
  EXPECT_EQ(get_or_capture(), LULL_ERROR_CALLBACK);
  EXPECT_STREQ(lull_last_error_message(), "the capture callback returned 99");
  how.answer = LULL_OK;
  how.graph = 0;
  EXPECT_EQ(get_or_capture(), LULL_ERROR_CALLBACK);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("without a graph"));
  EXPECT_EQ(value(pin), 4711U) << "outputs are untouched";
  EXPECT_THAT(vendor_.destroyed, IsEmpty()) << "there is no graph after a failure";
  EXPECT_EQ(stats().failed_captures, 3U);
  how.graph = 7;
  EXPECT_EQ(get_or_capture(), LULL_OK) << "a failure leaves no trace";
  lull_graph_pin_release(&pin);
}

/// A capture that lasts until it is told to fail.
struct slow_failure {
  std::promise<void> begun;
  std::promise<void> let_go;

  static lull_status capture(void* user, lull_captured_graph*) {
    auto& self = *static_cast<slow_failure*>(user);
    self.begun.set_value();
    self.let_go.get_future().wait();
    return LULL_ERROR_OUT_OF_DEVICE_MEMORY;
  }
};

TEST_F(CGraphCache, AFailureReachesThoseWhoWait) {
  create();
  slow_failure slow;
  std::promise<void> waiter_is_done;
  auto leader = std::async(std::launch::async, [&] {
    lull_graph_pin pin{};
    const lull_status code = lull_graph_cache_get_or_capture(
        cache_, number(1), slow_failure::capture, &slow, nullptr, &pin);
    // A thread's last error goes with it. Copies of an exception share their text by a count inside
    // the standard library, which the thread sanitizer does not see.
    waiter_is_done.get_future().wait();
    return code;
  });
  slow.begun.get_future().wait();

  auto options = sized<lull_graph_capture_options>();
  lull_graph_capture_options_init(&options);
  options.timeout_ms = 0;
  recipe unused;
  lull_graph_pin pin{};
  EXPECT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &unused, &options, &pin),
      LULL_ERROR_TIMED_OUT);

  recipe same_failure{0, LULL_UNKNOWN, LULL_ERROR_OUT_OF_DEVICE_MEMORY};
  auto waiter = std::async(std::launch::async, [&] {
    lull_graph_pin none{};
    const lull_status code = lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture,
                                                             &same_failure, nullptr, &none);
    return std::pair(code, std::string(lull_last_error_message()));
  });
  // Most likely it waits by then; should it come late, it fails by itself.
  std::this_thread::sleep_for(std::chrono::milliseconds{20});
  slow.let_go.set_value();
  const auto [code, words] = waiter.get();
  waiter_is_done.set_value();
  EXPECT_EQ(leader.get(), LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_EQ(code, LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_THAT(words, HasSubstr("the capture callback returned LULL_ERROR_OUT_OF_DEVICE_MEMORY"));
  if (same_failure.calls == 0) {
    EXPECT_THAT(words, HasSubstr("this call waited for"));
  }
  EXPECT_EQ(unused.calls, 0);
}

TEST_F(CGraphCache, ACaptureMustNotAskForItsOwnKey) {
  create();
  const auto recursive = [](void* user, lull_captured_graph*) {
    lull_graph_pin pin{};
    return lull_graph_cache_get_or_capture(static_cast<lull_graph_cache*>(user), number(1),
                                           recipe::capture, nullptr, nullptr, &pin);
  };
  lull_graph_pin pin{};
  EXPECT_EQ(lull_graph_cache_get_or_capture(cache_, number(1), recursive, cache_, nullptr, &pin),
            LULL_ERROR_INVALID_ARGUMENT);
}

TEST_F(CGraphCache, ExceptionsDoNotCross) {
  create();
  lull_graph_pin pin{};
  const auto throws = [](void*, lull_captured_graph*) -> lull_status {
    throw std::runtime_error("from C++");
  };
  EXPECT_EQ(lull_graph_cache_get_or_capture(cache_, number(1), throws, nullptr, nullptr, &pin),
            LULL_ERROR_INTERNAL);
  EXPECT_STREQ(lull_last_error_message(), "from C++");
  put(1);
  lull_graph_taken taken{};
  const auto far = [](void*, lull_graph_key) -> std::uint64_t { throw 1; };
  EXPECT_EQ(lull_graph_cache_take_nearest(cache_, far, nullptr, &taken), LULL_ERROR_INTERNAL);
  EXPECT_EQ(look_up(number(1)), 1001U) << "it was not taken out";

  vendor_.throws = true;
  put(2);
  EXPECT_EQ(stats().unknown_footprints, 2U);
  EXPECT_EQ(lull_graph_cache_clear(cache_, 0), LULL_OK);
  EXPECT_EQ(stats().failed_destructions, 2U);
  EXPECT_EQ(stats().measured_returned_bytes, LULL_UNKNOWN);
  vendor_.throws = false;
}

// --- The driver -------------------------------------------------------------------------------

TEST_F(CGraphCache, TheDriverIsAskedForFiguresAndReturnsMemory) {
  vendor_.footprint_bytes = 3 * MiB;
  vendor_.used_bytes = 10 * MiB;
  create();
  put(1);
  put(2, MiB);
  put(3, 0);
  EXPECT_EQ(stats().bytes, 7 * MiB) << "0 is not known either, so the driver was asked";
  std::uint64_t evicted = 0;
  EXPECT_EQ(lull_graph_cache_trim(cache_, &evicted), LULL_OK);
  EXPECT_EQ(evicted, 3U);
  EXPECT_EQ(vendor_.destroyed.size(), 3U);
  EXPECT_EQ(vendor_.synchronizations, 1);
  EXPECT_EQ(vendor_.trims, 1);
  const auto seen = stats();
  EXPECT_EQ(seen.returned_bytes, 7 * MiB);
  EXPECT_EQ(seen.measured_returned_bytes, 0U);
  EXPECT_EQ(seen.unknown_footprints, 0U);
  EXPECT_EQ(seen.evicted_cleared, 3U);
}

TEST_F(CGraphCache, TheDriverMayEstimateByTheNodes) {
  create();
  recipe how{7, LULL_UNKNOWN, LULL_OK, 3};
  lull_graph_pin pin{};
  ASSERT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &how, nullptr, &pin),
      LULL_OK);
  lull_graph_pin_release(&pin);
  EXPECT_EQ(stats().bytes, 3 * vendor_node_bytes);
}

TEST_F(CGraphCache, AnythingButDestroyMayBeMissing) {
  driver_.before_destroy = nullptr;
  driver_.trim = nullptr;
  driver_.footprint = nullptr;
  driver_.used_bytes = nullptr;
  create();
  put(1);
  EXPECT_EQ(lull_graph_cache_trim(cache_, nullptr), LULL_OK);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
  EXPECT_EQ(stats().measured_returned_bytes, LULL_UNKNOWN);
}

TEST_F(CGraphCache, MemoryOfDestroyedGraphsCollectsBeforeItIsTrimmed) {
  options_.trim_after_bytes = 2 * MiB;
  create();
  for (std::uint64_t key = 1; key <= 2; ++key) {
    put(key, MiB);
    EXPECT_EQ(lull_graph_cache_erase(cache_, number(key), nullptr), LULL_OK);
    EXPECT_EQ(vendor_.trims, key == 1 ? 0 : 1);
  }
}

TEST_F(CGraphCache, AFailureOfTheDriverIsLoggedAndCounted) {
  std::vector<std::string> lines;
  options_.name = "decode";
  options_.log_user = &lines;
  options_.log = [](void* user, lull_log_level level, const char* line) {
    EXPECT_EQ(level, LULL_LOG_ERROR);
    static_cast<std::vector<std::string>*>(user)->emplace_back(line);
  };
  create();
  put(1);
  vendor_.answer = LULL_ERROR_BACKEND;
  EXPECT_EQ(lull_graph_cache_trim(cache_, nullptr), LULL_OK);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_THAT(lines[1], HasSubstr("decode"));
  EXPECT_THAT(lines[1], HasSubstr("the destroy callback returned LULL_ERROR_BACKEND"));
  EXPECT_THAT(lines[2], HasSubstr("the trim callback"));
  EXPECT_EQ(stats().failed_destructions, 1U);
  EXPECT_STREQ(stats().name, "decode");
}

TEST_F(CGraphCache, AfterAResetGraphsAreDroppedWithoutACall) {
  create();
  put(1);
  put(2);
  std::uint64_t dropped = 0;
  EXPECT_EQ(lull_graph_cache_device_was_reset(cache_, &dropped), LULL_OK);
  EXPECT_EQ(dropped, 2U);
  EXPECT_THAT(vendor_.destroyed, IsEmpty());
  EXPECT_EQ(stats().evicted_stale, 2U);
  EXPECT_EQ(stats().dropped, 2U);
  EXPECT_EQ(look_up(number(1)), 0U);
  put(1);
  EXPECT_EQ(look_up(number(1)), 1001U);
}

// --- Bounds -----------------------------------------------------------------------------------

TEST_F(CGraphCache, LimitsBoundAndCanBeChanged) {
  options_.limits = {2, 4 * MiB, 60000};
  create();
  lull_graph_limits limits{};
  EXPECT_EQ(lull_graph_cache_get_limits(cache_, &limits), LULL_OK);
  EXPECT_EQ(limits.entries, 2U);
  EXPECT_EQ(limits.bytes, 4 * MiB);
  EXPECT_EQ(limits.idle_time_ms, 60000);

  for (std::uint64_t key = 1; key <= 3; ++key) put(key, MiB);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U)) << "least recently used";
  EXPECT_EQ(stats().evicted_for_entries, 1U);
  put(4, 4 * MiB);
  EXPECT_EQ(stats().entries, 1U);
  EXPECT_GE(stats().evicted_for_bytes, 1U);

  limits = {};
  EXPECT_EQ(lull_graph_cache_set_limits(cache_, &limits), LULL_OK);
  for (std::uint64_t key = 5; key < 15; ++key) put(key, MiB);
  EXPECT_EQ(stats().entries, 11U) << "zeroed it bounds nothing";
  limits.entries = 3;
  EXPECT_EQ(lull_graph_cache_set_limits(cache_, &limits), LULL_OK);
  EXPECT_EQ(stats().entries, 3U);
  EXPECT_EQ(lull_graph_cache_get_limits(cache_, &limits), LULL_OK);
  EXPECT_EQ(limits.bytes, 0U);
  EXPECT_EQ(limits.idle_time_ms, 0);
}

TEST_F(CGraphCache, WhatCannotFitIsRefusedAndWhatIsInUseKeepsItsPlace) {
  options_.limits = {1, 2 * MiB, 0};
  create();
  recipe large{7, 3 * MiB};
  lull_graph_pin none{};
  EXPECT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &large, nullptr, &none),
      LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(7U));

  lull_graph_capture_options wishes{};
  lull_graph_capture_options_init(&wishes);
  wishes.bytes = 3 * MiB;
  EXPECT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &large, &wishes, &none),
      LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_EQ(large.calls, 1) << "known beforehand, so not captured at all";
  EXPECT_EQ(stats().rejected, 2U);

  lull_graph_pin in_use = get(2, MiB);
  recipe small{8, MiB};
  EXPECT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(3), recipe::capture, &small, nullptr, &none),
      LULL_ERROR_BUSY);
  lull_graph_capture_options_init(&wishes);
  wishes.room_timeout_ms = 1;
  EXPECT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(3), recipe::capture, &small, &wishes, &none),
      LULL_ERROR_BUSY);
  EXPECT_EQ(small.calls, 0);
  lull_graph_pin_release(&in_use);
  lull_graph_pin got = get(3, MiB);
  EXPECT_EQ(value(got), 1003U);
  lull_graph_pin_release(&got);
}

TEST_F(CGraphCache, ABudgetBoundsSeveralCachesAndMayBeDestroyedEarly) {
  lull_graph_budget* budget = nullptr;
  ASSERT_EQ(lull_graph_budget_create(3, 0, &budget), LULL_OK);
  options_.budget = budget;
  create();
  lull_graph_cache* other = nullptr;
  ASSERT_EQ(lull_graph_cache_create(&options_, &other), LULL_OK);
  put(1, MiB);
  put(2, MiB);
  for (std::uint64_t key = 3; key <= 4; ++key) {
    lull_graph_pin pin = get_from(other, key, MiB);
    lull_graph_pin_release(&pin);
  }
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  EXPECT_EQ(lull_graph_budget_usage(budget, &entries, &bytes), LULL_OK);
  EXPECT_EQ(entries, 3U);
  EXPECT_EQ(bytes, 3 * MiB);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U)) << "least recently used of both";
  EXPECT_EQ(lull_graph_budget_usage(budget, nullptr, nullptr), LULL_OK);

  EXPECT_EQ(lull_graph_budget_set_limits(budget, 0, 2 * MiB), LULL_OK);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U, 1002U));
  lull_graph_budget_destroy(budget);
  put(5, MiB);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U, 1002U, 1003U)) << "the bound still holds";
  lull_graph_cache_destroy(other);
}

TEST_F(CGraphCache, TheFrequencyFilterKeepsWhatComesOften) {
  options_.limits.entries = 10;
  options_.frequency_filter = 1;
  create();
  for (int round = 0; round < 5; ++round) {
    for (std::uint64_t key = 1; key <= 5; ++key) put(key);
  }
  for (std::uint64_t once = 100; once < 200; ++once) put(once);
  int kept = 0;
  for (std::uint64_t key = 1; key <= 5; ++key) kept += look_up(number(key)) != 0 ? 1 : 0;
  EXPECT_EQ(kept, 5);

  EXPECT_EQ(lull_graph_cache_set_frequency_filter(cache_, 0), LULL_OK);
  for (std::uint64_t once = 200; once < 300; ++once) put(once);
  for (std::uint64_t key = 1; key <= 5; ++key) EXPECT_EQ(look_up(number(key)), 0U) << key;
}

TEST_F(CGraphCache, WhatIsIdleGoesWithASweep) {
  create();
  std::int64_t in_ms = 0;
  EXPECT_EQ(lull_graph_cache_next_deadline(cache_, &in_ms), LULL_OK);
  EXPECT_EQ(in_ms, -1);
  put(1);
  const lull_graph_limits far{0, 0, 3600000};
  EXPECT_EQ(lull_graph_cache_set_limits(cache_, &far), LULL_OK);
  EXPECT_EQ(lull_graph_cache_next_deadline(cache_, &in_ms), LULL_OK);
  EXPECT_GT(in_ms, 0);
  EXPECT_LE(in_ms, 3600000 / 8);
  std::uint64_t evicted = 99;
  EXPECT_EQ(lull_graph_cache_sweep(cache_, &evicted), LULL_OK);
  EXPECT_EQ(evicted, 0U);

  const lull_graph_limits near{0, 0, 1};
  EXPECT_EQ(lull_graph_cache_set_limits(cache_, &near), LULL_OK);
  while (evicted == 0) ASSERT_EQ(lull_graph_cache_sweep(cache_, &evicted), LULL_OK);
  EXPECT_EQ(evicted, 1U);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
  EXPECT_EQ(stats().evicted_idle, 1U);
  EXPECT_EQ(lull_graph_cache_sweep(cache_, nullptr), LULL_OK);
}

TEST_F(CGraphCache, ClearingWaitsForPins) {
  create();
  lull_graph_pin pin = get(1);
  put(2);
  EXPECT_EQ(lull_graph_cache_clear(cache_, 1), LULL_ERROR_TIMED_OUT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("graphs"));
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1002U));
  lull_graph_pin_release(&pin);
  EXPECT_EQ(lull_graph_cache_clear(cache_, -1), LULL_OK);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1002U, 1001U));
}

// --- Updating ---------------------------------------------------------------------------------

/// The distance of numbers; keys above 100 cannot be used.
std::uint64_t distance_of_numbers(void* user, lull_graph_key key) {
  const std::uint64_t sought = *static_cast<const std::uint64_t*>(user);
  if (key.low > 100) return UINT64_MAX;
  return key.low > sought ? key.low - sought : sought - key.low;
}

/// A capture that updates what is near, as a vendor's update of an executable does.
struct updating {
  lull_graph_cache* cache;
  std::uint64_t sought;
  bool claims = true;
  std::uint64_t taken_key = 0;

  static lull_status capture(void* user, lull_captured_graph* captured) {
    auto& self = *static_cast<updating*>(user);
    lull_graph_taken taken{};
    EXPECT_EQ(lull_graph_cache_take_nearest(self.cache, distance_of_numbers, &self.sought, &taken),
              LULL_OK);
    self.taken_key = taken.key.low;
    captured->graph = self.claims ? lull_graph_taken_claim(&taken) : reinterpret_cast<void*>(7);
    EXPECT_EQ(taken.graph == nullptr, self.claims);
    lull_graph_taken_release(&taken);
    EXPECT_EQ(taken.graph, nullptr);
    EXPECT_EQ(lull_graph_taken_claim(&taken), nullptr);
    lull_graph_taken_release(&taken);
    return LULL_OK;
  }
};

TEST_F(CGraphCache, TheNearestGraphCanBecomeAnother) {
  create();
  for (const std::uint64_t key : {10U, 20U, 500U}) put(key);
  updating how{cache_, 18};
  lull_graph_pin pin{};
  ASSERT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(18), updating::capture, &how, nullptr, &pin),
      LULL_OK)
      << lull_last_error_message();
  EXPECT_EQ(how.taken_key, 20U);
  EXPECT_EQ(value(pin), 1020U) << "the same executable";
  lull_graph_pin_release(&pin);
  EXPECT_EQ(look_up(number(20)), 0U);
  EXPECT_EQ(look_up(number(18)), 1020U);
  EXPECT_THAT(vendor_.destroyed, IsEmpty());
  EXPECT_EQ(stats().evicted_updated, 1U);
}

TEST_F(CGraphCache, WhatWasTakenAndNotClaimedIsDestroyed) {
  create();
  put(10);
  updating how{cache_, 18, false};
  lull_graph_pin pin{};
  ASSERT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(18), updating::capture, &how, nullptr, &pin),
      LULL_OK);
  lull_graph_pin_release(&pin);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1010U));
  EXPECT_EQ(look_up(number(18)), 7U);
}

TEST_F(CGraphCache, NothingIsTakenThatIsImpossibleOrInUse) {
  create();
  put(500);
  lull_graph_pin in_use = get(20);
  std::uint64_t sought = 20;
  lull_graph_taken taken{number(1), this, this};
  EXPECT_EQ(lull_graph_cache_take_nearest(cache_, distance_of_numbers, &sought, &taken), LULL_OK);
  EXPECT_EQ(taken.graph, nullptr);
  lull_graph_taken_release(&taken);
  lull_graph_pin_release(&in_use);
  EXPECT_EQ(lull_graph_cache_take_nearest(cache_, distance_of_numbers, &sought, &taken), LULL_OK);
  EXPECT_EQ(taken.graph, reinterpret_cast<void*>(1020));
  EXPECT_EQ(taken.key.low, 20U);
  lull_graph_taken_release(&taken);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1020U));
}

// --- Observing --------------------------------------------------------------------------------

using text_function = lull_status (*)(const lull_graph_cache*, char*, std::size_t, std::size_t*);

std::string text_of(text_function ask, const lull_graph_cache* cache) {
  std::size_t size = 0;
  EXPECT_EQ(ask(cache, nullptr, 0, &size), LULL_OK);
  std::vector<char> room(size + 1, 'x');
  std::size_t written = 0;
  EXPECT_EQ(ask(cache, room.data(), size, &written), LULL_OK);
  EXPECT_EQ(written, size);
  EXPECT_EQ(room[size - 1], '\0');
  EXPECT_EQ(room[size], 'x') << "nothing beyond";

  room.assign(size, 'x');
  EXPECT_EQ(ask(cache, room.data(), size - 1, &written), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(written, size);
  EXPECT_EQ(room[0], 'x') << "nothing is cut";
  EXPECT_EQ(ask(cache, room.data(), size, &written), LULL_OK);
  return room.data();
}

TEST_F(CGraphCache, TextsAreHandedOutWhole) {
  options_.name = "decode";
  create();
  put(1, MiB);
  EXPECT_THAT(text_of(lull_graph_cache_to_json, cache_),
              testing::AllOf(testing::StartsWith("{\"name\":\"decode\""),
                             HasSubstr("\"bytes\":1048576"), testing::EndsWith("}")));
  EXPECT_THAT(text_of(lull_graph_cache_to_prometheus, cache_),
              testing::AllOf(HasSubstr("lull_graph_cache_captures_total{cache=\"decode\"} 1\n"),
                             testing::EndsWith("\n")));
}

TEST_F(CGraphCache, AnOlderStatsStructIsNotWrittenBeyondItsEnd) {
  create();
  put(1);
  auto seen = sized<lull_graph_cache_stats>();
  seen.struct_size = offsetof(lull_graph_cache_stats, captures);
  seen.captures = 4711;
  EXPECT_EQ(lull_graph_cache_get_stats(cache_, &seen), LULL_OK);
  EXPECT_EQ(seen.misses, 1U);
  EXPECT_EQ(seen.captures, 4711U);
}

// --- Holds and the sleeper --------------------------------------------------------------------

TEST_F(CGraphCache, AHoldHoldsOffDestruction) {
  create();
  put(1);
  lull_graph_hold* hold = nullptr;
  lull_graph_hold* nested = nullptr;
  EXPECT_EQ(lull_graph_hold_count(), 0U);
  ASSERT_EQ(lull_graph_hold_begin(-1, &hold), LULL_OK);
  ASSERT_EQ(lull_graph_hold_begin(0, &nested), LULL_OK);
  EXPECT_EQ(lull_graph_hold_count(), 2U);
  EXPECT_EQ(lull_graph_cache_erase(cache_, number(1), nullptr), LULL_OK);
  lull_graph_hold_end(nested);
  EXPECT_THAT(vendor_.destroyed, IsEmpty());
  lull_graph_hold_end(hold);
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
  EXPECT_EQ(lull_graph_hold_count(), 0U);
}

TEST_F(CGraphCache, TheSleeperClears) {
  create();
  lull_sleeper* sleeper = nullptr;
  ASSERT_EQ(lull_sleeper_create(nullptr, &sleeper), LULL_OK);
  EXPECT_EQ(lull_sleeper_manage_graphs(sleeper, cache_, -1), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("clear_timeout_ms is -1"));
  ASSERT_EQ(lull_sleeper_manage_graphs(sleeper, cache_, 0), LULL_OK);
  lull_graph_pin pin = get(1);
  EXPECT_EQ(lull_sleeper_sleep(sleeper, nullptr, nullptr), LULL_ERROR_TIMED_OUT);
  lull_graph_pin_release(&pin);
  put(2);
  EXPECT_EQ(lull_sleeper_sleep(sleeper, nullptr, nullptr), LULL_OK) << lull_last_error_message();
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U, 1002U));
  EXPECT_EQ(lull_sleeper_wake(sleeper, -1, nullptr), LULL_OK);
  put(1);
  EXPECT_EQ(look_up(number(1)), 1001U);
  lull_sleeper_destroy(sleeper);
}

TEST_F(CGraphCache, TheSleeperSweepsWhileAwake) {
  options_.limits.idle_time_ms = 1;
  create();
  lull_sleeper* sleeper = nullptr;
  ASSERT_EQ(lull_sleeper_create(nullptr, &sleeper), LULL_OK);
  ASSERT_EQ(lull_sleeper_manage_graphs(sleeper, cache_, 0), LULL_OK);
  put(1);
  std::int64_t in_ms = -1;
  EXPECT_EQ(lull_sleeper_next_deadline(sleeper, &in_ms), LULL_OK);
  EXPECT_GE(in_ms, 0);
  while (stats().destroyed == 0) {  // on the sleeper's thread
    std::int32_t started = 1;
    ASSERT_EQ(lull_sleeper_poll(sleeper, &started), LULL_OK);
    ASSERT_EQ(started, 0);
  }
  EXPECT_THAT(vendor_.destroyed, ElementsAre(1001U));
  EXPECT_EQ(stats().evicted_idle, 1U);
  lull_sleeper_destroy(sleeper);
}

// --- Bad arguments ----------------------------------------------------------------------------

TEST_F(CGraphCache, NullsAreNamed) {
  create();
  const auto named = [](lull_status code, const char* words) {
    EXPECT_EQ(code, LULL_ERROR_INVALID_ARGUMENT) << words;
    EXPECT_STREQ(lull_last_error_message(), words);
  };
  const lull_graph_key key = number(1);
  lull_graph_cache* made = nullptr;
  lull_graph_pin pin{};
  lull_graph_taken taken{};
  lull_graph_limits limits{};
  auto seen = sized<lull_graph_cache_stats>();
  std::uint64_t figure = 0;
  std::int64_t in_ms = 0;
  std::size_t size = 0;
  lull_sleeper* sleeper = nullptr;
  ASSERT_EQ(lull_sleeper_create(nullptr, &sleeper), LULL_OK);

  named(lull_graph_cache_create(&options_, nullptr), "cache is null");
  named(lull_graph_cache_create(nullptr, &made), "options is null");
  named(lull_graph_cache_find(nullptr, key, &pin), "cache is null");
  named(lull_graph_cache_find(cache_, key, nullptr), "pin is null");
  named(lull_graph_cache_get_or_capture(nullptr, key, recipe::capture, nullptr, nullptr, &pin),
        "cache is null");
  named(lull_graph_cache_get_or_capture(cache_, key, nullptr, nullptr, nullptr, &pin),
        "capture is null");
  named(lull_graph_cache_get_or_capture(cache_, key, recipe::capture, nullptr, nullptr, nullptr),
        "pin is null");
  named(lull_graph_cache_take_nearest(nullptr, distance_of_numbers, nullptr, &taken),
        "cache is null");
  named(lull_graph_cache_take_nearest(cache_, nullptr, nullptr, &taken), "distance is null");
  named(lull_graph_cache_take_nearest(cache_, distance_of_numbers, nullptr, nullptr),
        "taken is null");
  named(lull_graph_cache_erase(nullptr, key, nullptr), "cache is null");
  named(lull_graph_cache_clear(nullptr, -1), "cache is null");
  named(lull_graph_cache_trim(nullptr, &figure), "cache is null");
  named(lull_graph_cache_sweep(nullptr, &figure), "cache is null");
  named(lull_graph_cache_next_deadline(nullptr, &in_ms), "cache is null");
  named(lull_graph_cache_next_deadline(cache_, nullptr), "in_ms is null");
  named(lull_graph_cache_device_was_reset(nullptr, &figure), "cache is null");
  named(lull_graph_cache_set_limits(nullptr, &limits), "cache is null");
  named(lull_graph_cache_set_limits(cache_, nullptr), "limits is null");
  named(lull_graph_cache_get_limits(nullptr, &limits), "cache is null");
  named(lull_graph_cache_get_limits(cache_, nullptr), "limits is null");
  named(lull_graph_cache_set_frequency_filter(nullptr, 1), "cache is null");
  named(lull_graph_cache_get_stats(nullptr, &seen), "cache is null");
  named(lull_graph_cache_get_stats(cache_, nullptr), "stats is null");
  for (const text_function ask : {lull_graph_cache_to_json, lull_graph_cache_to_prometheus}) {
    named(ask(nullptr, nullptr, 0, &size), "cache is null");
    named(ask(cache_, nullptr, 1, &size), "text is null");
    named(ask(cache_, nullptr, 0, nullptr), "size is null");
  }
  named(lull_graph_budget_create(0, 0, nullptr), "budget is null");
  named(lull_graph_budget_set_limits(nullptr, 0, 0), "budget is null");
  named(lull_graph_budget_usage(nullptr, &figure, &figure), "budget is null");
  named(lull_graph_hold_begin(-1, nullptr), "hold is null");
  named(lull_sleeper_manage_graphs(nullptr, cache_, 0), "sleeper is null");
  named(lull_sleeper_manage_graphs(sleeper, nullptr, 0), "cache is null");
  lull_sleeper_destroy(sleeper);

  lull_graph_cache_options_init(nullptr);
  lull_graph_capture_options_init(nullptr);
  lull_graph_cache_destroy(nullptr);
  lull_graph_budget_destroy(nullptr);
  lull_graph_pin_release(nullptr);
  lull_graph_taken_release(nullptr);
  EXPECT_EQ(lull_graph_taken_claim(nullptr), nullptr);
  lull_graph_hold_end(nullptr);
}

TEST_F(CGraphCache, BadOptionsAreRefused) {
  const auto refused = [this](const char* words) {
    EXPECT_EQ(lull_graph_cache_create(&options_, &cache_), LULL_ERROR_INVALID_ARGUMENT) << words;
    EXPECT_THAT(lull_last_error_message(), HasSubstr(words));
    EXPECT_EQ(cache_, nullptr);
  };
  const lull_graph_cache_options good = options_;
  options_.struct_size = 0;
  refused("options->struct_size is 0");
  options_ = good;
  options_.driver = nullptr;
  refused("needs a driver or a device");
  options_ = good;
  options_.limits.idle_time_ms = -1;
  refused("idle_time_ms is -1");
  options_ = good;
  options_.limits.idle_time_ms = INT64_MAX;
  refused("idle_time_ms");
  options_ = good;
  driver_.destroy = nullptr;
  refused("options->driver->destroy is null");
  driver_ = vendor_.driver();
  driver_.struct_size = 0;
  refused("options->driver->struct_size is 0");
  driver_ = vendor_.driver();
  create();

  lull_graph_pin pin{};
  recipe unused;
  lull_graph_capture_options wishes{};
  const auto wishes_refused = [&](const char* words) {
    EXPECT_EQ(
        lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &unused, &wishes, &pin),
        LULL_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(lull_last_error_message(), HasSubstr(words));
  };
  wishes_refused("options->struct_size is 0");
  lull_graph_capture_options_init(&wishes);
  wishes.timeout_ms = -2;
  wishes_refused("timeout_ms is -2");
  lull_graph_capture_options_init(&wishes);
  wishes.room_timeout_ms = -2;
  wishes_refused("timeout_ms is -2");
  EXPECT_EQ(unused.calls, 0);

  lull_graph_hold* hold = nullptr;
  EXPECT_EQ(lull_graph_hold_begin(-2, &hold), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lull_graph_cache_clear(cache_, -2), LULL_ERROR_INVALID_ARGUMENT);
  lull_graph_cache_stats no_size{};
  EXPECT_EQ(lull_graph_cache_get_stats(cache_, &no_size), LULL_ERROR_INVALID_ARGUMENT);
  const lull_graph_limits negative{0, 0, -5};
  EXPECT_EQ(lull_graph_cache_set_limits(cache_, &negative), LULL_ERROR_INVALID_ARGUMENT);
}

TEST_F(CGraphCache, AnOlderOptionsStructGetsDefaultsForWhatItLacks) {
  options_.struct_size = offsetof(lull_graph_cache_options, name);
  options_.name = "not part of the old struct";
  options_.limits.entries = 1;
  create();
  EXPECT_STREQ(stats().name, "graphs");
  lull_graph_limits limits{};
  EXPECT_EQ(lull_graph_cache_get_limits(cache_, &limits), LULL_OK);
  EXPECT_EQ(limits.entries, 1U);
}

// --- Threads ----------------------------------------------------------------------------------

TEST_F(CGraphCache, ManyThreadsShareACacheThatIsTooSmall) {
  // The driver's lists are one thread's at a time: the cache destroys on one thread at a time.
  options_.limits.entries = 8;
  create();
  constexpr int threads = 4;
  constexpr int lookups = 500;
  std::vector<std::future<int>> all;
  for (int i = 0; i < threads; ++i) {
    all.push_back(std::async(std::launch::async, [this, i] {
      int wrong = 0;
      for (int n = 0; n < lookups; ++n) {
        const auto key = static_cast<std::uint64_t>((n * 7 + i) % 16);
        lull_graph_pin pin = get(key);
        if (value(pin) != 1000 + key) ++wrong;
        lull_graph_pin_release(&pin);
      }
      return wrong;
    }));
  }
  for (auto& each : all) EXPECT_EQ(each.get(), 0);
  const auto seen = stats();
  EXPECT_EQ(seen.hits + seen.misses, std::uint64_t{threads} * lookups);
  EXPECT_LE(seen.peak_entries, 8U);
  EXPECT_EQ(seen.captures - seen.entries, vendor_.destroyed.size());
  EXPECT_EQ(seen.pins, 0U);
}

}  // namespace
