// A sleep at level `reset`: it resets as the sleeper was told to, and its report has all of it.

#include <algorithm>

#include "support/expect_error.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

/// Uses a device, and has nothing to put to sleep.
class user_of final : public participant {
 public:
  explicit user_of(device which) : which_(std::move(which)) {}
  [[nodiscard]] std::string_view name() const noexcept override { return "engine"; }
  [[nodiscard]] std::vector<device> devices() const override { return {which_}; }
  void sleep(const sleep_plan&, transition&) override { ++sleeps; }
  void wake(const sleep_plan&, transition&) override { ++wakes; }

  int sleeps = 0;
  int wakes = 0;

 private:
  device which_;
};

class ResetSleep : public Vendor {
 protected:
  ResetSleep() { which_.context_create(); }

  transition_report sleep(sleeper_options options) {
    sleeper_.emplace(std::move(options));
    sleeper_->add(engine_);
    return sleeper_->sleep(plan_for(sleep_level::reset));
  }

  [[nodiscard]] const step_report* step(const transition_report& in, std::string_view name) const {
    const std::string whole = which_.name() + ": " + std::string(name);
    const auto found = std::find_if(in.steps.begin(), in.steps.end(),
                                    [&](const auto& each) { return each.name == whole; });
    return found == in.steps.end() ? nullptr : &*found;
  }

  machine here_{GetParam()};
  device which_ = here_.device();
  std::shared_ptr<user_of> engine_ = std::make_shared<user_of>(which_);
  manual_clock time_;
  std::optional<sleeper> sleeper_;
};

TEST_P(ResetSleep, ResetsByTheProgramsOwnFunctionOnTheSleepersClock) {
  int called = 0;
  sleeper_options options;
  options.clock = &time_;
  options.reset.reset = [&](const device& asked) {
    EXPECT_EQ(asked.name(), which_.name());
    ++called;
    EXPECT_EQ(here_.gpu().reset(0), simgpu::code::ok);
    time_.advance(3s);
  };
  const transition_report slept = sleep(options);
  EXPECT_EQ(called, 1);
  EXPECT_EQ(slept.elapsed, 3s);
  ASSERT_NE(step(slept, "reset"), nullptr);
  EXPECT_EQ(step(slept, "reset")->elapsed, 3s);
  EXPECT_THAT(slept.problems, IsEmpty());
}

TEST_P(ResetSleep, ReportsAndLogsTheProblemsOfItsResets) {
  const reset_hook cold(which_, "cache", {},
                        [](const reset_event&) { throw std::runtime_error("cannot warm up"); });
  std::string logged;
  sleeper_options options;
  options.log = log_sink([&](log_level, std::string_view line) { logged += line; });
  const transition_report slept = sleep(options);
  EXPECT_TRUE(slept.succeeded);
  EXPECT_THAT(slept.problems,
              ElementsAre(testing::AllOf(HasSubstr(which_.name()), HasSubstr("cannot warm up"))));
  sleeper_.reset();  // it logs after the sleep has returned
  EXPECT_THAT(logged, HasSubstr("cannot warm up"));
}

TEST_P(ResetSleep, WaitsForWorkAsLongAsTheSleeperWaitsForLeases) {
  here_.gpu().script.hang(GetParam().name + "DeviceSynchronize");
  sleeper_options options;
  options.drain_timeout = 50ms;
  EXPECT_EQ(error_of([&] { sleep(options); }).code(), status::timed_out);
  EXPECT_EQ(engine_->wakes, 1) << "it is taken back";
  here_.gpu().script.clear();
  while (here_.gpu().script.hanging() != 0) std::this_thread::yield();
}

TEST_P(ResetSleep, WaitsForWorkAsLongAsItIsToldTo) {
  here_.gpu().script.hang(GetParam().name + "DeviceSynchronize");
  sleeper_options options;
  options.reset.drain_timeout = 50ms;
  EXPECT_EQ(error_of([&] { sleep(options); }).code(), status::timed_out);
  here_.gpu().script.clear();
  while (here_.gpu().script.hanging() != 0) std::this_thread::yield();
}

TEST_P(ResetSleep, DropsWhatLivesWhenToldTo) {
  static_cast<void>(which_.allocate(1_MiB));
  EXPECT_EQ(error_of([&] { sleep({}); }).code(), status::busy);
  sleeper_options options;
  options.reset.drop = true;
  EXPECT_TRUE(sleep(options).succeeded);
  EXPECT_EQ(here_.gpu().take_stock(), simgpu::books{});
}

TEST_P(ResetSleep, TheStepThatFailedIsTheLastOneOfTheReport) {
  sleeper_options options;
  options.clock = &time_;
  options.reset.reset = [&](const device&) {
    time_.advance(2s);
    throw 1;
  };
  const error failure = error_of([&] { sleep(options); });
  EXPECT_EQ(failure.code(), status::callback) << failure.what();
  const auto report = sleeper_->observe().last;
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->succeeded);
  ASSERT_FALSE(report->steps.empty());
  EXPECT_EQ(report->steps.back().name, which_.name() + ": reset");
  EXPECT_EQ(report->steps.back().elapsed, 2s);
}

TEST_P(ResetSleep, OptionsOutsideTheirRangeAreRefusedAtOnce) {
  sleeper_options options;
  options.reset.drain_timeout = 0s;
  const error failure = error_of([&] { const sleeper refused(options); });
  EXPECT_EQ(failure.code(), status::invalid_argument);
  EXPECT_THAT(failure.what(), HasSubstr("reset.drain_timeout"));
}

INSTANTIATE_TEST_SUITE_P(Modules, ResetSleep, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
