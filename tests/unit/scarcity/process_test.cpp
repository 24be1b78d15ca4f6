// Whatever children and orphans need of the system fails once: nobody is left running unseen,
// nobody is taken for gone who could not be looked at, and this process lives on.

#include <lull/process.hpp>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "process/pid_file.hpp"
#include "process/proc_stat.hpp"
#include "support/children.hpp"
#include "support/eventually.hpp"
#include "support/scarcity.hpp"
#include "support/scratch_folder.hpp"

namespace lull::test {
namespace {

namespace fs = std::filesystem;

class ProcessScarcity : public testing::TestWithParam<resource> {
 protected:
  static std::size_t files_in(const fs::path& folder) {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
  }
};

TEST_P(ProcessScarcity, OfAChild) {
  const scratch_folder folder;
  const auto options = [&](std::vector<std::string> arguments) {
    process_options made = child_options(std::move(arguments));
    made.output = child_stream::null;
    made.pid_directory = folder.path();
    return made;
  };
  const auto exits = options({"exit", "3"});
  const std::size_t descriptors = open_descriptors();
  fail_each(
      GetParam(),
      [&] {
        process child(exits);
        EXPECT_EQ(child.wait()->value, 3);
      },
      [&](bool) {
        EXPECT_FALSE(has_children()) << "somebody still lives";
        EXPECT_EQ(open_descriptors(), descriptors);
        EXPECT_EQ(files_in(folder.path()), 0u);
        process child(exits);
        EXPECT_EQ(child.wait()->value, 3);
      });
}

TEST_P(ProcessScarcity, OfAChildThatSaysManyThingsAndLeavesSomebodyBehind) {
  for (const char* const mode : {"garbage", "grandchild-and-exit"}) {
    SCOPED_TRACE(mode);
    process_options how = child_options({mode});
    how.output = child_stream::null;
    std::atomic<std::uint64_t> lines{0};
    how.on_event = [&](const process_event&) { ++lines; };
    how.on_rejected = [&](const rejected_line&) { ++lines; };
    std::uint64_t all = 0;
    {
      process child(how);
      child.wait();
      all = lines.exchange(0);
    }
    fail_each(
        GetParam(),
        [&] {
          process child(how);
          child.wait();
        },
        [&](bool start_failed) {
          EXPECT_FALSE(has_children());
          if (!start_failed) {
            EXPECT_EQ(lines, all) << "a line that cannot be read is counted all the same";
          }
          lines = 0;
        });
  }
}

TEST_P(ProcessScarcity, OfAStop) {
  process_options how = child_options({"ignore-sigterm"});
  how.output = child_stream::null;
  how.stopping.grace = duration::zero();
  how.stopping.before_kill = [](int) {};
  fail_each(
      GetParam(), [&] { static_cast<void>(process(how).stop()); },
      [&](bool) { EXPECT_TRUE(eventually([] { return !has_children(); })); });
}

// Whether a process lives is not known when there is no descriptor to look at it with.
TEST_P(ProcessScarcity, OfALookForOrphans) {
  const scratch_folder folder;
  process_options how = child_options({"sleep"});
  how.output = child_stream::null;
  process child(how);
  auto record = detail::record_of_child(child.id(), "child");
  ++record.parent.start_ticks;  // a parent that has ended
  detail::pid_file(folder.path(), record).keep();
  std::size_t found = 0;
  fail_each(
      GetParam(), [&] { found = find_orphans(folder.path()).size(); },
      [&](bool look_failed) {
        ASSERT_EQ(files_in(folder.path()), 1u) << "it would never be found again";
        if (GetParam() != resource::descriptor && !look_failed) {
          EXPECT_EQ(found, 1u);
        }
        EXPECT_EQ(find_orphans(folder.path()).size(), 1u);
      });
}

TEST_P(ProcessScarcity, OfALookForTheOrphansOfSomebodyWhoLives) {
  const scratch_folder folder;
  process_options how = child_options({"sleep"});
  how.output = child_stream::null;
  process child(how);
  detail::pid_file(folder.path(), detail::record_of_child(child.id(), "child")).keep();
  std::size_t found = 0;
  fail_each(
      GetParam(), [&] { found += find_orphans(folder.path()).size(); },
      [&](bool) {
        EXPECT_EQ(found, 0u) << "it would be killed under its parent";
        EXPECT_EQ(files_in(folder.path()), 1u);
      });
}

TEST_P(ProcessScarcity, OfStoppingAnOrphan) {
  const scratch_folder folder;
  process_options how = child_options({"sleep"});
  how.output = child_stream::null;
  const auto lives = [](const orphan& which) {
    return detail::is_alive({which.id, which.start_ticks});
  };
  fail_each(
      GetParam(),
      [&] {
        process child(how);
        auto record = detail::record_of_child(child.id(), "child");
        ++record.parent.start_ticks;
        detail::pid_file(folder.path(), record).keep();
        const auto orphans = find_orphans(folder.path());
        if (orphans.empty()) return;
        orphan_end end{};
        try {
          end = stop_orphan(orphans.front(), {});
        } catch (...) {
          // Whoever could not be stopped can be found again.
          if (lives(orphans.front()) && files_in(folder.path()) == 0) ADD_FAILURE();
          throw;
        }
        if (end == orphan_end::gone) ADD_FAILURE() << "it lived";
      },
      [&](bool) {
        for (const auto& each : fs::directory_iterator(folder.path())) fs::remove(each);
      });
}

INSTANTIATE_TEST_SUITE_P(Each, ProcessScarcity,
                         testing::Values(resource::allocation, resource::thread,
                                         resource::descriptor),
                         name_of);

}  // namespace
}  // namespace lull::test
