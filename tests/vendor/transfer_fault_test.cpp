// Whatever fails in the middle of a transfer, or ends it there: states and contents are as they
// were, byte for byte, and the books are balanced.

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <thread>

#include "support/expect_error.hpp"
#include "support/no_threads.hpp"
#include "vendor/transfer_fixture.hpp"

namespace lull::test {
namespace {

class TransferFaults : public Transfer {
 protected:
  /// Regions around slices, chunks and handles, some of them in a file.
  struct model {
    explicit model(const device& on, std::uint64_t budget_bytes)
        : where(on), arena(arena_of(budget_bytes)) {
      memory_options options = in_small_steps(arena);
      options.handle_bytes = 2_MiB;
      all.emplace(options);
      const auto bytes = pattern(file_bytes, 9);
      const std::string path = file_path();
      std::ofstream(path, std::ios::binary)
          .write(reinterpret_cast<const char*>(bytes.data()),
                 static_cast<std::streamsize>(file_bytes));
      for (const std::uint64_t size : {std::uint64_t{16}, 5_MiB - 3, 512_KiB + 1}) {
        plain.push_back(all->allocate(where, size, {.tag = "plain", .name = std::to_string(size)}));
        fill(plain.back(), static_cast<unsigned>(plain.size()));
      }
      region_options from_file;
      from_file.tag = "file";
      from_file.source = region_source{file_source(path), {}};
      filled.emplace(all->allocate(where, file_bytes, std::move(from_file)));
    }
    [[nodiscard]] std::string file_path() const { return folder.path() / "weights"; }

    void evict(const transfer_options& options = {}) {
      all->evict({contents_action::offload, {{"file", contents_action::discard}}}, options);
    }
    void restore(const transfer_options& options = {}) { all->restore({}, options); }

    void expect_on_device() const {
      for (std::size_t i = 0; i < plain.size(); ++i) {
        ASSERT_EQ(plain[i].state(), residency::resident);
        EXPECT_TRUE(holds(plain[i], static_cast<unsigned>(i + 1))) << i;
      }
      ASSERT_EQ(filled->state(), residency::resident);
      EXPECT_TRUE(holds(*filled, 9));
    }
    void expect_off_device() const {
      for (const region& each : plain) EXPECT_EQ(each.state(), residency::offloaded);
      EXPECT_EQ(filled->state(), residency::discarded);
    }

    static constexpr std::uint64_t file_bytes = 3_MiB + 77;
    device where;
    scratch_folder folder;
    host_arena arena;
    std::optional<memory> all;
    std::vector<region> plain;
    std::optional<region> filled;
  };

  struct direction {
    const char* name;
    bool out;
    bool reset;  ///< between, so that host memory is registered again on the way
    std::uint64_t budget_bytes;
  };
  static std::vector<direction> directions() {
    return {{"out", true, false, 512_MiB},
            {"in", false, false, 512_MiB},
            {"in, after a reset", false, true, 512_MiB},
            {"out, staged", true, false, 4_MiB},
            {"in, staged", false, false, 4_MiB}};
  }
  static void run(model& what, const direction& which, const transfer_options& options = {}) {
    which.out ? what.evict(options) : what.restore(options);
  }
  static void expect_as_it_was(const model& what, const direction& which) {
    which.out ? what.expect_on_device() : what.expect_off_device();
  }
};

TEST_P(TransferFaults, EveryCallThatFailsChangesNothing) {
  for (const direction& which : directions()) {
    SCOPED_TRACE(which.name);
    machine here(GetParam());
    model what(here.device(), which.budget_bytes);
    std::uint64_t failures = 0;
    for (std::uint64_t n = 1;; n += n < 30 ? 1 : 5) {
      if (!which.out) what.evict();
      if (which.reset) {
        ASSERT_TRUE(dev_reset(what.where).was_reset);
      }
      what.arena.trim(which.reset ? UINT64_MAX : 0);  // all of it, or what was registered before
      const auto before = here.gpu().take_stock();
      here.gpu().script.fail_nth(n, injected_code);
      std::optional<error> failure;
      try {
        run(what, which);
      } catch (const error& thrown) {
        failure = thrown;
      }
      const std::string call = here.gpu().script.failed_function();
      here.gpu().script.fail_nth(0, 0);
      SCOPED_TRACE(call);
      if (failure) {
        ++failures;
        expect_as_it_was(what, which);
        auto after = here.gpu().take_stock();
        after.registrations = before.registrations;  // of the arena, which keeps its slices
        after.contexts = before.contexts;            // a transfer may make one
        after.used_bytes = before.used_bytes;
        ASSERT_EQ(after, before) << to_string(after) << "\ninstead of " << to_string(before);
        run(what, which);
      }
      if (which.out) what.restore();
      what.expect_on_device();
      if (HasFatalFailure() || HasFailure()) return;
      if (call.empty()) break;
    }
    EXPECT_GT(failures, 5u);
  }
}

TEST_P(TransferFaults, AStopAtAnyChunkChangesNothing) {
  for (const direction& which : directions()) {
    SCOPED_TRACE(which.name);
    machine here(GetParam());
    model what(here.device(), which.budget_bytes);
    for (std::uint64_t chunk = 1;; ++chunk) {
      if (!which.out) what.evict();
      if (which.reset) {
        ASSERT_TRUE(dev_reset(what.where).was_reset);
      }
      std::stop_source stop;
      std::uint64_t seen = 0;
      transfer_options options;
      options.stop = stop.get_token();
      options.progress = [&](const transfer_progress&) {
        if (++seen == chunk) stop.request_stop();
      };
      std::optional<error> failure;
      try {
        run(what, which, options);
      } catch (const error& thrown) {
        failure = thrown;
        EXPECT_EQ(thrown.code(), status::cancelled) << thrown.what();
        expect_as_it_was(what, which);
      }
      // It is off the device where it was to leave and did, and where it was to come and did not.
      if (which.out != failure.has_value()) what.restore();
      what.expect_on_device();
      if (HasFailure()) return;
      if (!failure) break;
    }
  }
}

TEST_P(TransferFaults, WithoutAThreadToBeHadOneDoesAll) {
  machine here(GetParam());
  model what(here.device(), 512_MiB);
  {
    const no_threads now;
    what.evict();
    what.expect_off_device();
    what.restore();
  }
  what.expect_on_device();
}

TEST_P(TransferFaults, AFileThatEndsInTheMiddleOfAWakeFailsIt) {
  machine here(GetParam());
  model what(here.device(), 2_MiB);  // no room for a window of it, so it is read
  what.evict();
  transfer_options options;
  options.progress = [&](const transfer_progress& so_far) {
    if (so_far.done_bytes < so_far.total_bytes / 2) return;
    std::filesystem::resize_file(what.file_path(), 1000);
  };
  std::optional<error> failure;
  for (int i = 0; i < 20 && !failure; ++i) {
    try {
      what.restore(options);
      what.evict();
    } catch (const error& thrown) {
      failure = thrown;
    }
  }
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code(), status::io) << failure->what();
  EXPECT_THAT(failure->what(), testing::HasSubstr(what.file_path()));
  what.expect_off_device();
}

// Ends with the books balanced, whoever came first each time.
TEST_P(TransferFaults, TwoTransfersADestroyAndAResetAtTheSameTime) {
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
  };
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  dev_reset(which);  // whose threads stay, as those that look at memory do
  static_cast<void>(which.memory());
  which.context_create();
  const auto threads_before = threads();
  const host_arena arena = arena_of(64_MiB);
  {
    memory one(in_small_steps(arena));
    memory other(in_small_steps(arena));
    std::atomic<bool> done = false;
    std::atomic<std::uint64_t> most = 0;
    const auto unless_in_the_way = [](const auto& work) {
      try {
        work();
      } catch (const error& failure) {
        const auto code = failure.code();
        EXPECT_TRUE(code == status::busy || code == status::stale || code == status::not_resident)
            << failure.what();
      }
    };
    const auto transfer_in_turn = [&](memory& of) {
      while (!done) {
        unless_in_the_way([&] { of.evict(offload()); });
        most = std::max(most.load(), arena.info().held_bytes);
        unless_in_the_way([&] { of.restore(); });
      }
    };
    std::vector<std::thread> working;
    working.emplace_back([&] { transfer_in_turn(one); });
    working.emplace_back([&] { transfer_in_turn(other); });
    working.emplace_back([&] {
      while (!done) {
        unless_in_the_way([&] {
          const region first = one.allocate(which, 5_MiB);
          const region second = other.allocate(which, 700);
          std::this_thread::yield();
        });
      }
    });
    for (int i = 0; i < 50; ++i) {
      unless_in_the_way([&] { dev_reset(which, {.drop = true}); });
    }
    done = true;
    for (std::thread& each : working) each.join();
    EXPECT_LE(most, 64_MiB);
    EXPECT_TRUE(one.regions().empty());
    EXPECT_TRUE(other.regions().empty());
  }
  const auto left = here.gpu().take_stock();
  EXPECT_EQ(left.reservations, 0) << to_string(left);
  EXPECT_EQ(left.physical, 0);
  EXPECT_EQ(left.streams, 0);
  EXPECT_EQ(left.events, 0);
  EXPECT_EQ(arena.info().used_bytes, 0u);
  arena.trim();
  EXPECT_EQ(arena.info().held_bytes, 0u);
  EXPECT_EQ(here.gpu().take_stock().registrations, 0);
  EXPECT_EQ(threads(), threads_before);
}

INSTANTIATE_TEST_SUITE_P(Modules, TransferFaults, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
