// From each level of sleep that a device has to each deeper one, without waking.

#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "support/eventually.hpp"
#include "support/expect_error.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class Deepen : public Vendor {
 protected:
  Deepen() {
    sleeper_options options;
    options.clock = &time_;
    options.reset.settle_timeout = 0s;
    options.suspend.host_margin_bytes = 0;
    options.suspend.free_bytes = [this] {
      const auto seen = here_.gpu().observe(0);
      return std::map<std::string, std::uint64_t>{
          {which_.name(), seen.total_bytes - seen.used_bytes}};
    };
    options.ladder = {{30s, with_bound(plan_for(sleep_level::offload), 1_MiB)},
                      {1h, plan_for(sleep_level::reset)}};
    use(options);
  }

  void use(sleeper_options options) {
    sleeper_.emplace(std::move(options));
    sleeper_->manage(memory_);
  }

  static sleep_plan with_bound(sleep_plan plan, std::uint64_t bytes) {
    plan.max_residue_bytes = bytes;
    return plan;
  }

  region make(std::string tag, std::byte value) {
    const auto write = [value](const refill_target& to) {
      const std::vector<std::byte> host(to.size_bytes(), value);
      to.write(0, host.data(), host.size());
    };
    region made = memory_.allocate(which_, 2_MiB, {.tag = std::move(tag), .refill = write});
    made.refill(write);
    return made;
  }

  /// All levels that the device has, and a reset that keeps contents: each is deeper than the one
  /// before it.
  [[nodiscard]] std::vector<sleep_plan> plans() const {
    std::vector<sleep_plan> all;
    for (const sleep_level level : supported_levels({which_})) {
      // See suspend_sleep_test.cpp, and unit/policy/rebirth_test.cpp.
      if (level == sleep_level::suspend || level == sleep_level::rebirth) continue;
      all.push_back(plan_for(level));
    }
    sleep_plan offloaded = plan_for(sleep_level::reset);
    offloaded.name = "reset, contents offloaded";
    offloaded.contents = plan_for(sleep_level::offload).contents;
    all.insert(all.end() - 1, offloaded);
    return all;
  }

  void expect_contents() const {
    std::vector<std::byte> host(2_MiB);
    for (const auto& [which, value] : {std::pair(&weights_, std::byte{5}), {&kv_, std::byte{9}}}) {
      const auto lease = which->acquire();
      which_.copy_to_host(host.data(), lease.address(), host.size());
      EXPECT_TRUE(host == std::vector<std::byte>(host.size(), value)) << which->tag();
    }
  }

  [[nodiscard]] std::string plan() const { return sleeper_->observe().plan; }

  machine here_{GetParam()};
  device which_ = here_.device();
  memory memory_;
  region weights_ = make("weights", std::byte{5});
  region kv_ = make("kv", std::byte{9});
  manual_clock time_;
  std::optional<sleeper> sleeper_;
};

TEST_P(Deepen, EveryPairOfLevelsBringsTheSameContentsBack) {
  const auto all = plans();
  EXPECT_GE(all.size(), 5u);
  for (auto from = all.begin(); from != all.end(); ++from) {
    for (auto to = from; to != all.end(); ++to) {
      SCOPED_TRACE(from->name + " to " + to->name);
      const void* const address = weights_.address();
      sleeper_->sleep(*from);
      const auto report = sleeper_->deepen(*to);
      EXPECT_TRUE(report.succeeded);
      EXPECT_THAT(report.problems, testing::IsEmpty());
      EXPECT_EQ(sleeper_->observe().state, sleep_state::asleep);
      EXPECT_EQ(plan(), to->name);
      if (to->context == context_action::reset && GetParam().which == simgpu::vendor::cuda) {
        EXPECT_EQ(which_.memory().used_by_process_bytes, 0u);
      }
      sleeper_->wake();
      EXPECT_EQ(weights_.address(), address);
      expect_contents();
    }
  }
}

TEST_P(Deepen, WhateverVendorCallFailsItSleepsOnAndWakesWithAllItHad) {
  const auto all = plans();
  std::size_t failures = 0;
  std::vector pairs{
      std::pair(all.front(), all.back()), {all[1], all[all.size() - 2]}, {all[0], all[1]}};
  if (which_.supports(capability::suspend)) {
    pairs.emplace_back(all[1], plan_for(sleep_level::suspend));
  }
  for (const auto& [from, to] : pairs) {
    SCOPED_TRACE(from.name + " to " + to.name);
    for (std::uint64_t n = 1;; ++n) {
      sleeper_->sleep(from);
      const residency before = weights_.state();
      here_.gpu().script.fail_nth(n, injected_code);
      bool failed = false;
      try {
        sleeper_->deepen(to);
      } catch (const error&) {
        failed = true;
      }
      const std::string call = here_.gpu().script.failed_function();
      here_.gpu().script.fail_nth(0, 0);
      if (failed) {
        ++failures;
        EXPECT_EQ(plan(), from.name) << call;
        EXPECT_EQ(weights_.state(), before) << call;
        EXPECT_TRUE(sleeper_->observe().last->rolled_back) << call;
      }
      EXPECT_EQ(sleeper_->observe().state, sleep_state::asleep) << call;
      sleeper_->wake();
      expect_contents();
      if (call.empty()) break;
    }
  }
  EXPECT_GT(failures, 10u);
}

TEST_P(Deepen, AContextThatIsTooMuchGoesAtOnceWhereThatIsKnown) {
  const auto report = sleeper_->sleep();
  ASSERT_FALSE(report.problems.empty());
  if (GetParam().per_process) {
    EXPECT_THAT(report.problems.back(), HasSubstr("are left on it; 'offload' allows 1 MiB"));
    EXPECT_TRUE(eventually([&] { return plan() == "reset"; }));
  } else {
    EXPECT_THAT(report.problems.back(), HasSubstr("what is left on it is not known"));
    EXPECT_EQ(sleeper_->next_deadline(), time_.now() + 1h) << "unknown is no number";
  }
  sleeper_->wake();
  expect_contents();
}

TEST_P(Deepen, WhatLivesInTheContextStandsInTheWayAndTheSleepStays) {
  const auto stream = which_.stream_create();
  sleeper_->sleep(plan_for(sleep_level::discard));
  const error failure = error_of([&] { sleeper_->deepen(plan_for(sleep_level::reset)); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_EQ(plan(), "discard");
  which_.stream_destroy(stream);
  EXPECT_TRUE(sleeper_->deepen(plan_for(sleep_level::reset)).succeeded);
  sleeper_->wake();
  expect_contents();
}

TEST_P(Deepen, FromASuspendedProcessToAReset) {
  if (!which_.supports(capability::suspend)) GTEST_SKIP() << "the vendor cannot";
  const auto process = [this] { return here_.gpu().process_state(::getpid()); };
  sleeper_->sleep(plan_for(sleep_level::offload));
  sleeper_->deepen(plan_for(sleep_level::suspend));
  EXPECT_EQ(process(), suspended);
  EXPECT_EQ(here_.gpu().observe(0).used_bytes, 0u);
  EXPECT_EQ(weights_.state(), residency::offloaded);

  // What refuses the reset leaves it suspended, as it was.
  {
    const reset_hook refusing(which_, "engine",
                              [](const reset_event&) { throw error(status::busy, "not now"); }, {});
    const error failure = error_of([&] { sleeper_->deepen(plan_for(sleep_level::reset)); });
    EXPECT_THAT(failure.what(), HasSubstr("not now"));
    EXPECT_EQ(process(), suspended);
    EXPECT_EQ(plan(), "suspend");
    EXPECT_EQ(weights_.state(), residency::offloaded);
  }
  sleep_plan deeper = plan_for(sleep_level::suspend);
  deeper.contents.otherwise = contents_action::discard;
  sleeper_->deepen(deeper);
  EXPECT_EQ(process(), suspended);
  EXPECT_EQ(weights_.state(), residency::offloaded) << "nothing is given up while suspended";

  sleeper_->deepen(plan_for(sleep_level::reset));
  EXPECT_EQ(process(), running);
  EXPECT_EQ(weights_.state(), residency::discarded);
  EXPECT_EQ(which_.memory().used_by_process_bytes, 0u);
  sleeper_->wake();
  expect_contents();
}

TEST_P(Deepen, ARebirthAsksNothingOfTheVendorAndLeavesEveryLevelAsItWasWhereItFails) {
  const scratch_folder folder;
  const auto program = folder.path() / "program";
  std::ofstream(program) << "\x7f garbage";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  static_cast<void>(take_rebirth());
  sleeper_options options;
  options.reset.settle_timeout = 0s;
  options.suspend.host_margin_bytes = 0;
  options.suspend.free_bytes = [this] {
    const auto seen = here_.gpu().observe(0);
    return std::map<std::string, std::uint64_t>{
        {which_.name(), seen.total_bytes - seen.used_bytes}};
  };
  int handed_over = 0;
  options.rebirth.how.program = program;
  options.rebirth.hand_over = [&](const sleep_counters&) {
    ++handed_over;
    return rebirth_handover{};
  };
  use(options);
  std::vector<sleep_plan> all = plans();
  if (which_.supports(capability::suspend)) all.push_back(plan_for(sleep_level::suspend));
  for (const sleep_plan& from : all) {
    SCOPED_TRACE(from.name);
    sleeper_->sleep(from);
    const residency contents = weights_.state();
    const simgpu::books before = here_.gpu().take_stock();
    const int process = here_.gpu().process_state(::getpid());
    const std::uint64_t calls = here_.gpu().script.all_calls();
    EXPECT_EQ(error_of([&] { sleeper_->deepen(plan_for(sleep_level::rebirth)); }).code(),
              status::io);
    EXPECT_EQ(here_.gpu().process_state(::getpid()), process) << "it need not be restored for it";
    EXPECT_EQ(here_.gpu().calls_that_waited(), 0);
    if (process != 0) {
      EXPECT_EQ(here_.gpu().script.all_calls(), calls);
    }
    EXPECT_EQ(here_.gpu().take_stock(), before);
    EXPECT_EQ(plan(), from.name);
    EXPECT_EQ(weights_.state(), contents);
    sleeper_->wake();
    expect_contents();
  }
  EXPECT_EQ(handed_over, static_cast<int>(all.size()));
}

INSTANTIATE_TEST_SUITE_P(Modules, Deepen, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
