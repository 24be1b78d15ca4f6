// The graph cache by the C API: captures that fail, exceptions, and bad arguments.

#include <lull/lull.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph_cache_fixture.hpp"
#include "support/eventually.hpp"

namespace {

using lull::test::CGraphCache;
using lull::test::eventually;
using lull::test::number;
using lull::test::patience;
using lull::test::recipe;
using lull::test::sized;
using lull::test::value;
using testing::HasSubstr;
using testing::IsEmpty;

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

TEST_F(CGraphCache, ACallerWhoWaitsGivesUpAtItsDeadline) {
  create();
  const auto while_another_thread_asks = [](void* user, lull_captured_graph*) {
    const auto ask = [cache = static_cast<lull_graph_cache*>(user)] {
      lull_graph_capture_options wishes{};
      lull_graph_capture_options_init(&wishes);
      wishes.timeout_ns = 0;
      recipe unused;
      lull_graph_pin none{};
      EXPECT_EQ(lull_graph_cache_get_or_capture(cache, number(1), recipe::capture, &unused, &wishes,
                                                &none),
                LULL_ERROR_TIMED_OUT);
      EXPECT_THAT(lull_last_error_message(), HasSubstr("still capturing the same key"));
      EXPECT_EQ(unused.calls, 0);
    };
    std::async(std::launch::async, ask).get();
    return LULL_ERROR_BACKEND;
  };
  lull_graph_pin none{};
  EXPECT_EQ(lull_graph_cache_get_or_capture(cache_, number(1), while_another_thread_asks, cache_,
                                            nullptr, &none),
            LULL_ERROR_BACKEND);
}

/// A capture that asks for key 1 as soon as another thread is about to capture it.
struct asking {
  lull_graph_cache* cache;
  std::uint64_t misses_with_the_other;  ///< of the cache, once the other thread has asked
  std::promise<void> begun;
  recipe own;  ///< for key 1, and must not be needed
  lull_status code = LULL_OK;
  std::string words;

  static lull_status capture(void* user, lull_captured_graph*) {
    auto& self = *static_cast<asking*>(user);
    self.begun.set_value();
    EXPECT_TRUE(eventually([&] { return self.misses() == self.misses_with_the_other; }));
    lull_graph_pin none{};
    self.code = lull_graph_cache_get_or_capture(self.cache, number(1), recipe::capture, &self.own,
                                                nullptr, &none);
    self.words = lull_last_error_message();
    return LULL_ERROR_BACKEND;
  }

  [[nodiscard]] std::uint64_t misses() const {
    auto seen = sized<lull_graph_stats>();
    EXPECT_EQ(lull_graph_cache_stats(cache, &seen), LULL_OK);
    return seen.misses;
  }
};

TEST_F(CGraphCache, AFailureReachesThoseWhoWait) {
  // That the one thread waits for the other is not up to timing. This thread needs the room of key
  // 3, whose destruction the capture of key 2 holds off. So its own capture begins when that
  // capture waits for it, and not before.
  options_.limits.entries = 2;
  create();
  put(3);
  asking waiter{cache_, 3, {}, {1001}, LULL_OK, {}};
  auto waiting = std::async(std::launch::async, [&] {
    lull_graph_pin none{};
    return lull_graph_cache_get_or_capture(cache_, number(2), asking::capture, &waiter, nullptr,
                                           &none);
  });
  waiter.begun.get_future().wait();

  recipe fails{0, LULL_UNKNOWN, LULL_ERROR_OUT_OF_DEVICE_MEMORY};
  lull_graph_capture_options wishes{};
  lull_graph_capture_options_init(&wishes);
  wishes.timeout_ns = std::chrono::nanoseconds{patience}.count();
  lull_graph_pin none{};
  EXPECT_EQ(
      lull_graph_cache_get_or_capture(cache_, number(1), recipe::capture, &fails, &wishes, &none),
      LULL_ERROR_OUT_OF_DEVICE_MEMORY)
      << lull_last_error_message();
  // Copies of an exception share their text by a count inside the standard library, which the
  // thread sanitizer does not see: this thread's last error must stay until the waiter has read its
  // own.
  EXPECT_EQ(waiting.get(), LULL_ERROR_BACKEND);

  EXPECT_EQ(waiter.code, LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_THAT(waiter.words,
              HasSubstr("the capture callback returned LULL_ERROR_OUT_OF_DEVICE_MEMORY"));
  EXPECT_THAT(waiter.words, HasSubstr("this call waited for"));
  EXPECT_EQ(waiter.own.calls, 0);
  EXPECT_EQ(fails.calls, 1);
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
  const auto sees = [](void*, lull_graph_key, void*) { throw 1; };
  EXPECT_EQ(lull_graph_cache_for_each(cache_, sees, nullptr), LULL_ERROR_INTERNAL);
  EXPECT_EQ(stats().pins, 0U);

  vendor_.throws = true;
  put(2);
  EXPECT_EQ(stats().unknown_footprints, 2U);
  EXPECT_EQ(lull_graph_cache_clear(cache_, 0), LULL_OK);
  EXPECT_EQ(stats().failed_destructions, 2U);
  EXPECT_EQ(stats().measured_returned_bytes, LULL_UNKNOWN);
  vendor_.throws = false;
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
  std::uint64_t figure = 0;
  lull_graph_pin pin{};
  lull_graph_pin entry{nullptr, &figure};
  lull_graph_limits limits{};
  auto seen = sized<lull_graph_stats>();
  std::int64_t in_ns = 0;
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
  named(lull_graph_cache_get_or_insert(nullptr, key, nullptr, &pin), "cache is null");
  named(lull_graph_cache_get_or_insert(cache_, key, nullptr, nullptr), "pin is null");
  named(lull_graph_pin_recapture(nullptr, recipe::capture, nullptr, nullptr), "pin is null");
  named(lull_graph_pin_recapture(&pin, recipe::capture, nullptr, nullptr), "pin->entry is null");
  named(lull_graph_pin_recapture(&entry, nullptr, nullptr, nullptr), "capture is null");
  named(lull_graph_cache_for_each(cache_, nullptr, nullptr), "see is null");
  const auto sees = [](void*, lull_graph_key, void*) {};
  named(lull_graph_cache_for_each(nullptr, sees, nullptr), "cache is null");
  named(lull_graph_cache_erase(nullptr, key, nullptr), "cache is null");
  named(lull_graph_cache_clear(nullptr, LULL_FOREVER), "cache is null");
  named(lull_graph_cache_trim(nullptr, &figure), "cache is null");
  named(lull_graph_cache_sweep(nullptr, &figure), "cache is null");
  named(lull_graph_cache_next_deadline(nullptr, &in_ns), "cache is null");
  named(lull_graph_cache_next_deadline(cache_, nullptr), "in_ns is null");
  named(lull_graph_cache_device_was_reset(nullptr, &figure), "cache is null");
  named(lull_graph_cache_set_limits(nullptr, &limits), "cache is null");
  named(lull_graph_cache_set_limits(cache_, nullptr), "limits is null");
  named(lull_graph_cache_limits(nullptr, &limits), "cache is null");
  named(lull_graph_cache_limits(cache_, nullptr), "limits is null");
  named(lull_graph_cache_set_frequency_filter(nullptr, 1), "cache is null");
  named(lull_graph_cache_stats(nullptr, &seen), "cache is null");
  named(lull_graph_cache_stats(cache_, nullptr), "stats is null");
  named(lull_graph_budget_create(1, 1, nullptr), "budget is null");
  named(lull_graph_budget_set_limits(nullptr, 1, 1), "budget is null");
  named(lull_graph_budget_usage(nullptr, &figure, &figure), "budget is null");
  named(lull_graph_hold_create(LULL_FOREVER, nullptr), "hold is null");
  named(lull_sleeper_manage_graphs(nullptr, cache_, 0), "sleeper is null");
  named(lull_sleeper_manage_graphs(sleeper, nullptr, 0), "cache is null");
  lull_sleeper_destroy(sleeper);
  EXPECT_EQ(lull_graph_hold_count(), 0U) << "what had nowhere to go was not made";

  lull_graph_cache_options_init(nullptr);
  lull_graph_capture_options_init(nullptr);
  lull_graph_cache_destroy(nullptr);
  lull_graph_budget_destroy(nullptr);
  lull_graph_pin_release(nullptr);
  lull_graph_hold_destroy(nullptr);
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
  options_.limits.idle_time_ns = -1;
  refused("idle_time_ns is -1");
  for (std::uint64_t lull_graph_limits::*bound :
       {&lull_graph_limits::entries, &lull_graph_limits::bytes}) {
    options_ = good;
    options_.limits.*bound = 0;
    refused("0 is no bound");
  }
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
  wishes.timeout_ns = -2;
  wishes_refused("timeout_ns is -2");
  lull_graph_capture_options_init(&wishes);
  wishes.room_timeout_ns = -2;
  wishes_refused("room_timeout_ns is -2");
  EXPECT_EQ(unused.calls, 0);

  lull_graph_hold* hold = nullptr;
  EXPECT_EQ(lull_graph_hold_create(-2, &hold), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lull_graph_cache_clear(cache_, -2), LULL_ERROR_INVALID_ARGUMENT);
  lull_graph_stats no_size{};
  EXPECT_EQ(lull_graph_cache_stats(cache_, &no_size), LULL_ERROR_INVALID_ARGUMENT);
  const lull_graph_limits negative{LULL_NO_LIMIT, LULL_NO_LIMIT, -5};
  EXPECT_EQ(lull_graph_cache_set_limits(cache_, &negative), LULL_ERROR_INVALID_ARGUMENT);
}

TEST_F(CGraphCache, AnOlderOptionsStructGetsDefaultsForWhatItLacks) {
  options_.struct_size = offsetof(lull_graph_cache_options, name);
  options_.name = "not part of the old struct";
  options_.limits.entries = 1;
  create();
  EXPECT_STREQ(stats().name, "graphs");
  lull_graph_limits limits{};
  EXPECT_EQ(lull_graph_cache_limits(cache_, &limits), LULL_OK);
  EXPECT_EQ(limits.entries, 1U);
}

}  // namespace
