// Whatever a sleeper, a child or a wait for memory needs of the system fails once: the operation
// says so or succeeds all the same, nobody hangs, and afterwards everything works.

#include <lull/lull.hpp>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/scarcity.hpp"

namespace lull::test {
namespace {

using namespace lull::literals;
using namespace std::chrono_literals;

class Scarcity : public testing::TestWithParam<resource> {
 protected:
  Scarcity() {
    region_.refill([](const auto& to) { std::memset(to.address(), 42, to.size_bytes()); });
  }

  static registry_options built_in_only() {
    registry_options options;
    options.search = false;
    return options;
  }

  /// The state says what is there: nobody gets a lease for half of it.
  void expect_consistent() const {
    const bool there = region_.state() == residency::resident;
    const sleep_state state = sleeper_->observe().state;
    if (state == sleep_state::awake) {
      EXPECT_TRUE(there) << to_string(region_.state());
    }
    if (state == sleep_state::asleep) {
      EXPECT_FALSE(there);
    }
  }

  void expect_that_all_works() {
    expect_consistent();
    sleeper_->sleep(plan_for(sleep_level::offload));
    EXPECT_EQ(sleeper_->observe().state, sleep_state::asleep);
    const auto lease = sleeper_->acquire();
    EXPECT_EQ(sleeper_->observe().state, sleep_state::awake);
    const auto bytes = region_.acquire();
    EXPECT_EQ(*static_cast<const char*>(bytes.address()), 42);
  }

  lull::registry registry_{built_in_only()};
  lull::memory memory_;
  lull::region region_ = memory_.allocate(registry_.find("HOST"), 64_KiB, {.name = "weights"});
  std::optional<sleeper> sleeper_;
};

TEST_P(Scarcity, OfASleepAndAWake) {
  release_clock releases;
  sleeper_options options;
  options.releases = &releases;
  options.on_transition = [](const transition_report&) {};
  sleeper_.emplace(options);
  sleeper_->manage(memory_);
  const auto plan = plan_for(sleep_level::offload);
  fail_each(
      GetParam(), [&] { sleeper_->sleep(plan); },
      [&](bool sleep_failed) {
        if (sleep_failed) {
          EXPECT_EQ(region_.state(), residency::resident);
        }
        expect_that_all_works();
      });
  fail_each(
      GetParam(),
      [&] {
        sleeper_->sleep(plan);
        const auto lease = sleeper_->acquire();
        EXPECT_EQ(region_.state(), residency::resident);
      },
      [&](bool) { expect_that_all_works(); });
  sleeper_.reset();  // its release clock goes with this function
}

TEST_P(Scarcity, OfASleepThatBecomesDeeper) {
  sleeper_options options;
  options.ladder = {{std::chrono::hours{1}, plan_for(sleep_level::trim)},
                    {std::chrono::hours{2}, plan_for(sleep_level::offload)},
                    {std::chrono::hours{3}, plan_for(sleep_level::discard)}};
  sleeper_.emplace(options);
  sleeper_->manage(memory_);
  region_.set_refill([](const auto& to) { std::memset(to.address(), 42, to.size_bytes()); });
  fail_each(
      GetParam(),
      [&] {
        sleeper_->sleep();
        sleeper_->deepen();
        sleeper_->deepen();
      },
      [&](bool failed) {
        const auto seen = sleeper_->observe();
        if (!failed) {
          EXPECT_EQ(seen.plan, "discard");
          EXPECT_THAT(region_.state(), testing::AnyOf(residency::discarded, residency::offloaded));
        }
        const bool there = region_.state() == residency::resident;
        EXPECT_EQ(there, seen.state == sleep_state::awake || seen.plan == "trim") << seen.plan;
        sleeper_->wake();
        expect_that_all_works();
        sleeper_->wake();
      });
}

TEST_P(Scarcity, OfTheFirstSleepAndTheFirstWake) {
  const auto plan = plan_for(sleep_level::offload);
  fail_each(
      GetParam(),
      [&] {
        sleeper_.reset();
        sleeper_.emplace();
        sleeper_->manage(memory_);
        sleeper_->sleep(plan);
        sleeper_->wake();
      },
      [&](bool) {
        sleeper_.emplace();
        sleeper_->manage(memory_);
        if (region_.state() != residency::resident) memory_.restore();
        expect_that_all_works();
      });
}

TEST_P(Scarcity, OfAWaitWithoutAThread) {
  struct answer {
    std::atomic<bool> told{false};
    bool got_a_lease = false;
  };
  const auto plan = plan_for(sleep_level::offload);
  fail_each(
      GetParam(),
      [&] {
        sleeper_.reset();
        if (region_.state() != residency::resident) memory_.restore();
        sleeper_.emplace();
        sleeper_->manage(memory_);
        sleeper_->sleep(plan);
        const auto told = std::make_shared<answer>();
        sleeper_->acquire_async({}, [told](const sleeper::acquire_result& result) {
          told->got_a_lease = std::holds_alternative<sleeper::lease>(result);
          told->told = true;
        });
        while (!told->told) std::this_thread::yield();
        if (!told->got_a_lease) throw std::bad_alloc();
      },
      [&](bool) {
        sleeper_.emplace();
        sleeper_->manage(memory_);
        if (region_.state() != residency::resident) memory_.restore();
        expect_that_all_works();
      });
}

TEST_P(Scarcity, OfAnIdleSleep) {
  manual_clock time;
  sleeper_options options;
  options.clock = &time;
  options.idle_time = 5s;
  options.plan = plan_for(sleep_level::offload);
  sleeper_.emplace(options);
  sleeper_->manage(memory_);
  fail_each(
      GetParam(),
      [&] {
        time.advance(5s);
        sleeper_->poll(time.now());
        for (int i = 0; i < 2000 && sleeper_->observe().state != sleep_state::asleep; ++i) {
          if (one_has_failed()) break;
          std::this_thread::yield();
        }
      },
      [&](bool) {
        // From here on no sleep begins by itself; one that has begun ends.
        sleeper_->set_idle_time(std::nullopt);
        EXPECT_TRUE(eventually([&] {
          const sleep_state now = sleeper_->observe().state;
          return now == sleep_state::awake || now == sleep_state::asleep;
        }));
        expect_that_all_works();
        sleeper_->set_idle_time(5s);
      });
  sleeper_.reset();  // its clock goes with this function
}

TEST_P(Scarcity, OfAWaitForMemory) {
  const std::vector<device> devices{registry_.find("HOST")};
  release_clock releases;
  fail_each(
      GetParam(),
      [&] {
        releases.mark("HOST", {1_MiB, 0});
        static_cast<void>(settle(devices, {.releases = &releases}));
      },
      [&](bool) {
        releases.mark("HOST");
        EXPECT_EQ(settle(devices, {.releases = &releases}).status, settle_status::settled);
      });
}

INSTANTIATE_TEST_SUITE_P(Each, Scarcity,
                         testing::Values(resource::allocation, resource::thread,
                                         resource::descriptor),
                         name_of);

}  // namespace
}  // namespace lull::test
