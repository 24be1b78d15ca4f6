// A child that fork() made of a process that used lull: every call fails at once, with a sentence.

#include <lull/lull.h>
#include <lull/lull.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/children.hpp"

namespace {

using namespace lull::literals;
using namespace std::chrono_literals;
using testing::HasSubstr;

/// What `in_child` says in a child made by fork(). One that hangs is ended by a signal after 20 s.
std::string words_of_child(const std::function<std::string()>& in_child) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  const pid_t id = ::fork();
  if (id == 0) {
    ::alarm(20);
    const std::string words = in_child();
    const auto written = ::write(ends[1], words.data(), words.size());
    ::_exit(written == static_cast<ssize_t>(words.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::string words;
  std::array<char, 4096> part{};
  for (ssize_t count = 0; (count = ::read(ends[0], part.data(), part.size())) > 0;) {
    words.append(part.data(), static_cast<std::size_t>(count));
  }
  ::close(ends[0]);
  int how = 0;
  ::waitpid(id, &how, 0);
  EXPECT_TRUE(WIFEXITED(how) && WEXITSTATUS(how) == 0) << "the child hung or crashed: " << how;
  return words;
}

/// The message of the error that a call throws.
std::string refusal(const std::function<void()>& call) {
  try {
    call();
    return "was not refused";
  } catch (const lull::error& failure) {
    return std::string(to_string(failure.code())) + ": " + failure.what();
  } catch (...) {
    return "threw something else";
  }
}

/// Graphs are numbers of the test's.
class no_driver final : public lull::graph_driver {
 public:
  void destroy(void*, std::uint64_t) override {}
};

class Fork : public testing::Test {
 protected:
  Fork() {
    lull::sleeper_options watching;
    watching.idle_time = 1h;
    watching.watch_idle = true;
    sleeper_.emplace(watching);
    sleeper_->manage(memory_);
    static_cast<void>(host_.memory());  // has a thread
    lease_.emplace(sleeper_->acquire());
  }

  static void expect_refused(std::string_view what, const std::function<void()>& call) {
    SCOPED_TRACE(what);
    const std::string words = words_of_child([&] { return refusal(call); });
    EXPECT_THAT(words, HasSubstr("unsupported: "));
    EXPECT_THAT(words, HasSubstr("fork"));
  }

  static lull::registry_options built_in_only() {
    lull::registry_options options;
    options.search = false;
    return options;
  }

  std::optional<lull::registry> registry_{built_in_only()};
  lull::device host_ = registry_->find("HOST");
  lull::memory memory_;
  lull::region region_ = memory_.allocate(host_, 1_MiB);
  std::optional<lull::sleeper> sleeper_;
  std::optional<lull::sleeper::lease> lease_;
  lull::release_clock releases_;
  using cache = lull::graph_cache<int, int*>;
  std::optional<cache> graphs_{std::in_place, std::make_shared<no_driver>(),
                               lull::graph_cache_options{}};
  lull::budget budget_{{.devices = {{"HOST", 1_GiB, 0}}, .evict = [](const auto&) {}}};
  int graph_ = 0;
};

TEST_F(Fork, EveryCallInAChildIsRefusedAtOnce) {
  expect_refused("memory", [&] { static_cast<void>(host_.memory()); });
  expect_refused("device allocate", [&] { static_cast<void>(host_.allocate(1_MiB)); });
  expect_refused("allocate", [&] { static_cast<void>(memory_.allocate(host_, 1_MiB)); });
  expect_refused("evict", [&] { memory_.evict({lull::contents_action::discard}); });
  expect_refused("lease of a region", [&] { static_cast<void>(region_.acquire()); });
  expect_refused("sleep", [&] { sleeper_->sleep(); });
  expect_refused("wake", [&] { sleeper_->wake(); });
  expect_refused("acquire", [&] { static_cast<void>(sleeper_->acquire()); });
  expect_refused("observe", [&] { static_cast<void>(sleeper_->observe()); });
  expect_refused("poll", [&] { sleeper_->poll(lull::steady_clock().now()); });
  expect_refused("regions", [&] { static_cast<void>(memory_.regions()); });
  expect_refused("leftovers", [&] { static_cast<void>(memory_.leftover_bytes()); });
  expect_refused("drop backups", [&] { memory_.drop_backups({lull::contents_action::discard}); });
  expect_refused("restore of nothing", [&] { memory_.restore(); });
  expect_refused("refill", [&] { region_.refill([](const lull::refill_target&) {}); });
  expect_refused("what a region is", [&] { static_cast<void>(region_.info()); });
  expect_refused("mark", [&] { region_.mark_written(); });
  expect_refused("arena", [&] { static_cast<void>(memory_.arena().info()); });
  expect_refused("prepare", [&] { memory_.arena().prepare(host_, 1_MiB); });
  expect_refused("trim", [&] { memory_.arena().trim(); });
  expect_refused("capture", [&] {
    static_cast<void>(graphs_->get_or_capture(1, [this] { return &graph_; }));
  });
  expect_refused("find", [&] { static_cast<void>(graphs_->find(1)); });
  expect_refused("stats", [&] { static_cast<void>(graphs_->stats()); });
  expect_refused("hold", [&] { const lull::graph_hold hold; });
  expect_refused("mark of a release", [&] { releases_.mark("HOST"); });
  expect_refused("last release", [&] { static_cast<void>(releases_.last("HOST")); });
  expect_refused("settle",
                 [&] { static_cast<void>(lull::settle({host_}, {.releases = &releases_})); });
  expect_refused("reset", [&] { lull::dev_reset(host_); });
  expect_refused("hook", [&] { const lull::reset_hook hook(host_, "hook", {}, {}); });
  expect_refused("admission", [&] { static_cast<void>(budget_.admit("model")); });
  expect_refused("budget", [&] { static_cast<void>(budget_.snapshot()); });
  expect_refused("registry", [&] { const lull::registry another; });
  expect_refused("sleeper", [&] { const lull::sleeper another; });
  expect_refused("process", [&] { const lull::process child({.arguments = {"true"}}); });
}

TEST_F(Fork, ACallOfTheCApiIsRefusedToo) {
  lull_device* host = nullptr;
  lull_registry* registry = nullptr;
  ASSERT_EQ(lull_registry_shared(&registry), LULL_OK);
  ASSERT_EQ(lull_registry_find(registry, "HOST", &host), LULL_OK);
  const std::string words = words_of_child([&]() -> std::string {
    lull_device* found = nullptr;
    if (lull_registry_find(registry, "HOST", &found) != LULL_ERROR_UNSUPPORTED) return "allowed";
    return lull_last_error_message();
  });
  EXPECT_THAT(words, HasSubstr("fork"));
  lull_device_destroy(host);
  lull_registry_destroy(registry);
}

TEST_F(Fork, DestructorsInAChildReturnAndLeaveTheParentsThingsAlone) {
  lull::process child(lull::test::child_options({"sleep"}));
  EXPECT_EQ(words_of_child([&]() -> std::string {
              lease_.reset();
              sleeper_.reset();
              { const lull::process taken = std::move(child); }
              { const lull::region gone = std::move(region_); }
              registry_.reset();
              return "all gone";
            }),
            "all gone");
  EXPECT_FALSE(child.observe().ended) << "it was not the child's to kill";
  EXPECT_EQ(host_.memory().used_by_process_bytes, std::uint64_t{1_MiB});
}

// Locks that other threads held when the process was forked are held for ever in the child.
TEST_F(Fork, NothingInAChildWaitsForALockThatAThreadOfTheParentHeld) {
  auto held = graphs_->get_or_capture(1, [this] { return &graph_; });
  releases_.mark("HOST");
  std::atomic<bool> done{false};
  std::vector<std::thread> busy;
  for (int i = 0; i < 2; ++i) {
    // With nothing that takes memory: the locks of allocators and sanitizers are not ours.
    busy.emplace_back([&] {
      while (!done) {
        static_cast<void>(region_.state());
        static_cast<void>(memory_.leftover_bytes());
        static_cast<void>(memory_.arena().info());
        static_cast<void>(graphs_->size());
        static_cast<void>(budget_.next_tick());
        static_cast<void>(sleeper_->observe());
        releases_.mark("HOST");
      }
    });
  }
  for (int i = 0; i < 50 && !HasFailure(); ++i) {
    EXPECT_EQ(words_of_child([&]() -> std::string {
                { const lull::region gone = std::move(region_); }
                { const auto gone = std::move(held); }
                graphs_.reset();
                static_cast<void>(lull::graph_hold::count());
                lease_.reset();
                sleeper_.reset();
                return "all gone";
              }),
              "all gone");
  }
  done = true;
  for (auto& each : busy) each.join();
}

}  // namespace
