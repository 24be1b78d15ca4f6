// Every allocation that an operation makes, on whatever thread, fails once: the operation says so
// or succeeds all the same, nobody hangs, and afterwards everything works. A program of its own,
// because it replaces the global operator new.

#include <lull/lull.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

/// Counts down to the one that fails; below 0: none does.
std::atomic<std::int64_t> left_until_failure{-1};
std::atomic<bool> failed{false};

void* allocate(std::size_t bytes) {
  if (left_until_failure.load(std::memory_order_relaxed) >= 0 &&
      left_until_failure.fetch_sub(1, std::memory_order_relaxed) == 0) {
    failed = true;
    throw std::bad_alloc();
  }
  if (void* const memory = std::malloc(bytes != 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) {
  return allocate(bytes);
}
void* operator new[](std::size_t bytes) {
  return allocate(bytes);
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

using namespace lull::literals;
using namespace std::chrono_literals;
using lull::sleep_state;

/// Runs `operation` with its first, second, ... allocation failing, until there are no more.
/// @param check with memory again: everything works
void fail_each_allocation(const std::function<void()>& operation,
                          const std::function<void()>& check) {
  for (std::int64_t n = 0;; ++n) {
    SCOPED_TRACE("allocation " + std::to_string(n));
    failed = false;
    left_until_failure = n;
    try {
      operation();
      left_until_failure = -1;
    } catch (const lull::error& failure) {
      left_until_failure = -1;
      EXPECT_TRUE(failed) << failure.what();
    } catch (const std::bad_alloc&) {
      left_until_failure = -1;
    }
    const bool was_reached = failed;
    check();
    if (!was_reached || testing::Test::HasFailure()) return;
    ASSERT_LT(n, 5000);
  }
}

class Allocation : public testing::Test {
 protected:
  static lull::registry_options built_in_only() {
    lull::registry_options options;
    options.search = false;
    return options;
  }

  void check() {
    sleeper_->sleep(lull::plan_for(lull::sleep_level::offload));
    EXPECT_EQ(sleeper_->observe().state, sleep_state::asleep);
    const auto lease = sleeper_->acquire();
    EXPECT_EQ(sleeper_->observe().state, sleep_state::awake);
    const auto bytes = region_.acquire();
    EXPECT_EQ(*static_cast<const char*>(bytes.address()), 42);
  }

  lull::registry registry_{built_in_only()};
  lull::memory memory_;
  lull::region region_ = memory_.allocate(registry_.find("HOST"), 64_KiB, {.name = "weights"});
  std::optional<lull::sleeper> sleeper_;
};

TEST_F(Allocation, EachOfASleepAndAWakeMayFail) {
  region_.refill([](const auto& to) { std::memset(to.address(), 42, to.size_bytes()); });
  lull::release_clock releases;
  lull::sleeper_options options;
  options.releases = &releases;
  options.on_transition = [](const lull::transition_report&) {};
  sleeper_.emplace(options);
  sleeper_->manage(memory_);
  const auto plan = lull::plan_for(lull::sleep_level::offload);
  fail_each_allocation([&] { sleeper_->sleep(plan); }, [&] { check(); });
  fail_each_allocation(
      [&] {
        sleeper_->sleep(plan);
        const auto lease = sleeper_->acquire();
      },
      [&] { check(); });
  sleeper_.reset();  // its release clock goes with this function
}

TEST_F(Allocation, EachOfAnIdleSleepMayFail) {
  region_.refill([](const auto& to) { std::memset(to.address(), 42, to.size_bytes()); });
  lull::manual_clock time;
  lull::sleeper_options options;
  options.clock = &time;
  options.idle_time = 5s;
  options.plan = lull::plan_for(lull::sleep_level::offload);
  sleeper_.emplace(options);
  sleeper_->manage(memory_);
  fail_each_allocation(
      [&] {
        const std::uint64_t before = sleeper_->observe().counters.sleeps;
        time.advance(5s);
        sleeper_->poll(time.now());
        for (int i = 0; i < 2000 && sleeper_->observe().state != sleep_state::asleep; ++i) {
          if (failed) break;
          std::this_thread::yield();
        }
        static_cast<void>(before);
      },
      [&] {
        sleeper_->wake();
        check();
        sleeper_->set_idle_time(5s);
      });
  sleeper_.reset();  // its clock goes with this function
}

TEST_F(Allocation, EachOfAChildMayFail) {
  fail_each_allocation(
      [] {
        lull::process child({.arguments = {"true"}});
        child.wait();
      },
      [] {
        lull::process child({.arguments = {"true"}});
        EXPECT_TRUE(child.wait()->success());
      });
}

TEST_F(Allocation, EachOfAWaitForMemoryMayFail) {
  const std::vector<lull::device> devices{registry_.find("HOST")};
  lull::release_clock releases;
  fail_each_allocation(
      [&] {
        releases.mark("HOST", {1_MiB, 0});
        static_cast<void>(lull::settle(devices, {.releases = &releases}));
      },
      [&] {
        releases.mark("HOST");
        EXPECT_EQ(lull::settle(devices, {.releases = &releases}).status,
                  lull::settle_status::settled);
      });
}

}  // namespace
