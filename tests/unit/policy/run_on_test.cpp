// Participants that run on the engine's own loop, and participants made of functions.

#include <lull/lull.hpp>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/expect_error.hpp"

namespace {

using namespace std::chrono_literals;
using lull::sleep_state;
using lull::status;
using lull::test::error_of;
using lull::test::eventually;
using testing::HasSubstr;

/// An engine's loop: one thread that runs what is posted, in order.
class loop {
 public:
  loop() : thread_([this] { run(); }) {}
  ~loop() { end(); }

  void post(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
  }
  void post(lull::transition_work work) {
    auto shared = std::make_shared<lull::transition_work>(std::move(work));
    post([shared] { (*shared)(); });
  }
  /// Stops the loop and destroys what it has not run.
  void end() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
    tasks_.clear();
  }
  [[nodiscard]] std::thread::id id() const { return thread_.get_id(); }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!ending_) {
      if (tasks_.empty()) {
        changed_.wait(lock);
        continue;
      }
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      task = nullptr;
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool ending_ = false;
  std::thread thread_;
};

std::shared_ptr<lull::participant> noting(std::atomic<std::thread::id>& where,
                                          std::atomic<int>& runs) {
  const auto note = [&](const lull::sleep_plan&, lull::transition&) {
    where = std::this_thread::get_id();
    ++runs;
  };
  return lull::make_participant("model", note, note);
}

TEST(RunOn, ParticipantsRunOnTheLoopAndCallersAnywhere) {
  loop engine;
  std::atomic<std::thread::id> where{};
  std::atomic<int> runs{0};
  lull::sleeper_options options;
  options.run_on = [&](lull::transition_work work) { engine.post(std::move(work)); };
  lull::sleeper sleeper(options);
  sleeper.add(noting(where, runs));

  sleeper.sleep();
  EXPECT_EQ(where.load(), engine.id());
  where = std::thread::id{};
  const auto lease = sleeper.acquire();
  EXPECT_EQ(where.load(), engine.id());
  EXPECT_EQ(runs, 2);
}

TEST(RunOn, WorkThatIsDroppedFailsTheTransitionAsCancelledAndAllIsAsBefore) {
  std::atomic<std::thread::id> where{};
  std::atomic<int> runs{0};
  lull::sleeper_options options;
  bool drop = true;
  options.run_on = [&](lull::transition_work work) {
    if (!drop) work();
  };
  lull::sleeper sleeper(options);
  sleeper.add(noting(where, runs));

  EXPECT_EQ(error_of([&] { sleeper.sleep(); }).code(), status::cancelled);
  EXPECT_EQ(sleeper.observe().state, sleep_state::awake);
  EXPECT_EQ(runs, 0);
  drop = false;
  sleeper.sleep();
  drop = true;
  EXPECT_EQ(error_of([&] { sleeper.wake(); }).code(), status::cancelled);
  EXPECT_EQ(sleeper.observe().state, sleep_state::asleep);
  drop = false;
  sleeper.wake();
  EXPECT_EQ(runs, 2);
}

TEST(RunOn, WhatRunOnThrowsFailsTheTransition) {
  lull::sleeper_options options;
  std::optional<lull::transition_work> kept;
  int kind = 0;
  options.run_on = [&](lull::transition_work work) {
    if (kind == 0) throw std::runtime_error("the loop has ended");
    kept = std::move(work);
    throw 7;
  };
  std::atomic<std::thread::id> where{};
  std::atomic<int> runs{0};
  lull::sleeper sleeper(options);
  sleeper.add(noting(where, runs));
  const auto failure = error_of([&] { sleeper.sleep(); });
  EXPECT_EQ(failure.code(), status::callback);
  EXPECT_THAT(failure.what(), HasSubstr("the loop has ended"));
  kind = 1;
  EXPECT_EQ(error_of([&] { sleeper.sleep(); }).code(), status::callback);
  ASSERT_TRUE(kept);
  (*kept)();
  EXPECT_EQ(runs, 0) << "work that was given up does not run later";
}

TEST(RunOn, EachPieceRunsOnceHoweverOftenItIsCalled) {
  lull::sleeper_options options;
  options.run_on = [&](lull::transition_work work) {
    work();
    work();
  };
  std::atomic<std::thread::id> where{};
  std::atomic<int> runs{0};
  lull::sleeper sleeper(options);
  sleeper.add(noting(where, runs));
  sleeper.sleep();
  EXPECT_EQ(runs, 1);
}

TEST(RunOn, ALoopThatNeverRunsTheWorkHoldsUpNeitherCallersNorTheEnd) {
  std::optional<lull::transition_work> stuck;
  std::atomic<std::thread::id> where{};
  std::atomic<int> runs{0};
  std::atomic<bool> posted{false};
  {
    lull::sleeper_options options;
    bool run = true;
    options.run_on = [&](lull::transition_work work) {
      if (run) return work();
      stuck = std::move(work);
      posted = true;
    };
    lull::sleeper sleeper(options);
    sleeper.add(noting(where, runs));
    sleeper.sleep();
    run = false;
    const auto soon = lull::steady_clock().now() + 20ms;
    EXPECT_EQ(error_of([&] { static_cast<void>(sleeper.acquire(soon)); }).code(),
              status::timed_out);
    EXPECT_TRUE(posted);
    EXPECT_EQ(sleeper.observe().state, sleep_state::waking);
  }
  ASSERT_TRUE(stuck);
  (*stuck)();
  EXPECT_EQ(runs, 1) << "the sleeper is gone, and its work with it";
}

TEST(RunOn, AParticipantOnTheLoopCannotWaitForItself) {
  loop engine;
  lull::sleeper_options options;
  options.run_on = [&](lull::transition_work work) { engine.post(std::move(work)); };
  lull::sleeper sleeper(options);
  std::optional<status> code;
  sleeper.add(lull::make_participant(
      "model",
      [&](const lull::sleep_plan&, lull::transition&) {
        code = error_of([&] { sleeper.wake(); }).code();
      },
      [](const lull::sleep_plan&, lull::transition&) {}));
  sleeper.sleep();
  EXPECT_EQ(code, status::busy);
}

TEST(RunOn, NothingSleepsUnderADecode) {
  loop engine;
  std::atomic<int> decoding{0};
  std::atomic<int> violations{0};
  std::atomic<int> decoded{0};
  lull::sleeper_options options;
  options.drain_timeout = 60s;
  options.watch_idle = true;
  options.run_on = [&](lull::transition_work work) { engine.post(std::move(work)); };
  lull::sleeper sleeper(options);
  bool loaded = true;  // the loop's own
  const auto look = [&](bool now_loaded) {
    return [&, now_loaded](const lull::sleep_plan&, lull::transition&) {
      if (decoding != 0) ++violations;
      loaded = now_loaded;
    };
  };
  sleeper.add(lull::make_participant("model", look(false), look(true)));
  sleeper.set_idle_time(1ns);  // not before: none can be added to one that sleeps

  // A request gives its own lease back as soon as it has posted: as one whose client left.
  std::vector<std::thread> requests;
  for (int t = 0; t < 2; ++t) {
    requests.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        auto lease = sleeper.acquire();
        auto task = std::make_shared<lull::sleeper::lease>(sleeper.share(lease));
        engine.post([&, task] {
          ++decoding;
          if (!loaded) ++violations;
          std::this_thread::yield();
          --decoding;
          ++decoded;
          task->release();
        });
      }
    });
  }
  for (auto& each : requests) each.join();
  EXPECT_TRUE(eventually([&] { return decoded == 400; }));
  EXPECT_TRUE(eventually([&] { return sleeper.observe().state == sleep_state::asleep; }));
  EXPECT_EQ(violations, 0);
}

TEST(FunctionParticipant, GetsThePlanBothWaysAndSaysWhatItReleased) {
  lull::release_clock releases;
  lull::sleeper_options options;
  options.releases = &releases;
  lull::sleeper sleeper(options);
  const lull::device host = lull::registry::shared().find("HOST");
  std::string woken_from;
  sleeper.add(lull::make_participant(
      "model",
      [&](const lull::sleep_plan&, lull::transition& current) {
        current.released(host, 5 << 20);
        current.released(host);
      },
      [&](const lull::sleep_plan& plan, lull::transition&) { woken_from = plan.name; }, {host}));
  const auto report = sleeper.sleep(lull::plan_for(lull::sleep_level::trim));
  ASSERT_EQ(report.devices.size(), 1u);
  EXPECT_EQ(report.devices.front().device, "HOST");
  EXPECT_EQ(report.devices.front().discarded_bytes, std::uint64_t{5} << 20);
  EXPECT_TRUE(releases.last("HOST")) << "whoever measures next knows that something was released";
  sleeper.wake();
  EXPECT_EQ(woken_from, "trim");
}

TEST(FunctionParticipant, NeedsANameAndBothFunctions) {
  const lull::transition_function nothing = [](const lull::sleep_plan&, lull::transition&) {};
  EXPECT_EQ(
      error_of([&] { static_cast<void>(lull::make_participant("", nothing, nothing)); }).code(),
      status::invalid_argument);
  EXPECT_EQ(
      error_of([&] { static_cast<void>(lull::make_participant("a", nullptr, nothing)); }).code(),
      status::invalid_argument);
  EXPECT_EQ(
      error_of([&] { static_cast<void>(lull::make_participant("a", nothing, nullptr)); }).code(),
      status::invalid_argument);
}

}  // namespace
