// Pid files, and the orphans that they lead to.

#include "process/pid_file.hpp"

#include <lull/error.hpp>
#include <lull/process.hpp>

#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "process/proc_stat.hpp"
#include "support/children.hpp"
#include "support/expect_error.hpp"
#include "support/scratch_folder.hpp"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using lull::orphan_end;
using lull::status;
using lull::detail::parse_pid_record;
using lull::detail::pid_file;
using lull::detail::pid_record;
using lull::detail::process_identity;
using lull::test::child_options;
using lull::test::error_of;
using lull::test::line_source;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const pid_record sample{{4711, 123456789012},
                        {1, 7},
                        "0f5a2c1e-boot",
                        "pid:[4026531836]",
                        "/opt/my server/llama-server"};

TEST(PidRecord, IsReadAsItWasWritten) {
  EXPECT_EQ(parse_pid_record(to_text(sample)), sample);
}

TEST(PidRecord, NoPartOfOneIsTakenForTheWhole) {
  const std::string text = to_text(sample);
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(parse_pid_record(text.substr(0, size))) << size;
  }
  EXPECT_FALSE(parse_pid_record(text + "x"));
}

TEST(PidRecord, IdsThatWouldHitOthersAreRefused) {
  // To kill(2), 0 is the caller's group, -1 everybody, and the group of 1 everybody again.
  for (const char* id : {"0", "1", "-1", "-4711", "99999999999", "x", ""}) {
    std::string text = to_text(sample);
    text.replace(text.find("4711"), 4, id);
    EXPECT_FALSE(parse_pid_record(text)) << id;
  }
}

TEST(PidRecord, SurvivesAnyBytes) {
  const unsigned seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  std::mt19937 random(seed);
  for (int round = 0; round < 2000; ++round) {
    std::string text = to_text(sample);
    for (int change = 0; change < 3; ++change) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    const auto record = parse_pid_record(text);
    EXPECT_TRUE(!record || record->child.id > 1) << text;
  }
}

TEST(ProcStat, ANameMayHoldAnything) {
  const auto stat = lull::detail::parse_proc_stat(
      "42 (a) R 1 (b\n) S 7 40 40 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->id, 42);
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->parent, 7);
  EXPECT_EQ(stat->group, 40);
  EXPECT_EQ(stat->threads, 1);
  EXPECT_EQ(stat->start_ticks, 987654u);
  for (const char* text : {"", "42", "42 (a", "42 (a) S", "42 (a) S 7 40 40 0 -1", "x (a) S 1 1"}) {
    EXPECT_FALSE(lull::detail::parse_proc_stat(text)) << text;
  }
}

TEST(ProcStat, AnEndedFirstThreadIsNoEndedProcess) {
  lull::detail::proc_stat stat;
  stat.state = 'Z';
  stat.threads = 2;
  EXPECT_TRUE(stat.alive());
  stat.threads = 1;
  EXPECT_FALSE(stat.alive());
}

/// A directory of its own, and a program that adopts what others orphan.
class Orphans : public testing::Test {
 protected:
  void SetUp() override {
    // Otherwise they go to init, which in a container may be a program that reaps nobody.
    ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  }
  void TearDown() override {
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    EXPECT_FALSE(lull::test::has_children()) << "somebody still lives";
    EXPECT_EQ(lull::test::open_descriptors(), descriptors_before_);
  }

  /// Starts a child in a mode under a parent that crashes then. @return the child's id
  int make_orphan(const std::string& mode, const std::string& option = {}) const {
    lull::process_options options;
    options.arguments = {LULL_TEST_CRASHING_PARENT, directory_, LULL_TEST_CHILD, mode};
    if (!option.empty()) options.arguments.insert(options.arguments.begin() + 1, option);
    options.output = lull::child_stream::pipe;
    lull::process parent(std::move(options));
    line_source output(parent.take_output());
    const int id = std::stoi(output.next().value());
    EXPECT_EQ(parent.wait(), (lull::exit_status{lull::exit_status::kind::signalled, SIGKILL}));
    return id;
  }

  /// A record of a child of this process, as if a parent that has ended had written it.
  static pid_record record_of(const lull::process& child) {
    pid_record record = lull::detail::record_of_child(child.id(), "child");
    ++record.parent.start_ticks;
    return record;
  }

  void write(const pid_record& record) const { pid_file(directory_, record).keep(); }

  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }

  std::vector<lull::orphan> find() {
    return lull::find_orphans(directory_,
                              lull::log_sink([this](lull::log_level, std::string_view line) {
                                log_.emplace_back(line);
                              }));
  }

  static lull::orphan_options grace(lull::duration span) {
    lull::orphan_options options;
    options.stopping.grace = span;
    return options;
  }

  lull::test::scratch_folder scratch_;
  const fs::path& directory_ = scratch_.path();
  std::vector<std::string> log_;

 private:
  std::size_t descriptors_before_ = lull::test::open_descriptors();
};

TEST_F(Orphans, AreFoundAfterACrashAndStopped) {
  const int id = make_orphan("sleep");
  const auto orphans = find();
  ASSERT_THAT(orphans, SizeIs(1));
  EXPECT_EQ(orphans[0].id, id);
  EXPECT_EQ(orphans[0].command, LULL_TEST_CHILD);
  int releases = 0;
  auto options = grace(10s);
  options.on_release = [&](lull::time_point) { ++releases; };
  EXPECT_EQ(lull::stop_orphan(orphans[0], options), orphan_end::ended);
  EXPECT_EQ(releases, 1);
  EXPECT_EQ(files(), 0u);
  EXPECT_EQ(lull::stop_orphan(orphans[0], options), orphan_end::gone) << "again";
}

TEST_F(Orphans, AChildThatEndsWithItsParentLeavesNone) {
  const int id = make_orphan("ignore-sigterm", "--end-with-parent");
  EXPECT_TRUE(lull::test::eventually([&] {
    const auto now = lull::detail::read_proc_stat(id);
    return !now || !now->alive();
  }));
  EXPECT_THAT(find(), IsEmpty());
  EXPECT_EQ(files(), 0u) << "its pid file goes with the first look";
}

TEST_F(Orphans, OneThatIgnoresSigtermIsKilled) {
  make_orphan("ignore-sigterm");
  const auto orphans = find();
  ASSERT_THAT(orphans, SizeIs(1));
  auto options = grace(50ms);
  int hooks = 0;
  options.stopping.before_kill = [&](int) { ++hooks; };
  EXPECT_EQ(lull::stop_orphan(orphans[0], options), orphan_end::killed);
  EXPECT_EQ(hooks, 1);
}

TEST_F(Orphans, AStoppedOneCanEndPolitely) {
  make_orphan("stop-itself");
  ASSERT_THAT(find(), SizeIs(1));
  EXPECT_EQ(lull::stop_orphan(find()[0], grace(10s)), orphan_end::ended);
}

TEST_F(Orphans, TheirGroupGoesWithThem) {
  const int id = make_orphan("grandchild");
  ASSERT_THAT(lull::detail::living_members(id), SizeIs(2));
  EXPECT_EQ(lull::stop_orphan(find().at(0), grace(10s)), orphan_end::ended);
  EXPECT_THAT(lull::detail::living_members(id), IsEmpty())
      << "also the grandchild that ignores SIGTERM";
}

TEST_F(Orphans, AReusedIdIsNeverKilled) {
  lull::process bystander(child_options({"sleep"}));
  pid_record record = record_of(bystander);
  --record.child.start_ticks;  // an earlier process with the same id
  write(record);
  EXPECT_THAT(find(), IsEmpty());
  EXPECT_EQ(files(), 0u) << "the file is of no more use";

  int releases = 0;
  auto options = grace(0s);
  options.on_release = [&](lull::time_point) { ++releases; };
  const lull::orphan gone{record.child.id, record.child.start_ticks, "", {}};
  EXPECT_EQ(lull::stop_orphan(gone, options), orphan_end::gone);
  EXPECT_EQ(releases, 1) << "what it held was released";
  EXPECT_FALSE(bystander.wait(lull::steady_clock().deadline_in(20ms))) << "it lives";
}

TEST_F(Orphans, AZombieIsNoOrphan) {
  const std::string program = LULL_TEST_CHILD;
  const std::array<char*, 2> arguments{const_cast<char*>(program.c_str()), nullptr};
  pid_t zombie = 0;
  ASSERT_EQ(::posix_spawn(&zombie, program.c_str(), nullptr, nullptr, arguments.data(), nullptr),
            0);
  ASSERT_TRUE(
      lull::test::eventually([&] { return lull::detail::read_proc_stat(zombie)->state == 'Z'; }));
  pid_record record = lull::detail::record_of_child(zombie, "zombie");
  ++record.parent.start_ticks;
  write(record);
  EXPECT_THAT(find(), IsEmpty());
}

TEST_F(Orphans, ThoseOfALivingParentAreNone) {
  auto options = child_options({"sleep"});
  options.pid_directory = directory_;
  lull::process child(std::move(options));
  EXPECT_EQ(files(), 1u);
  EXPECT_THAT(find(), IsEmpty());
  EXPECT_EQ(files(), 1u) << "its file is still needed";
  child.stop();
  EXPECT_EQ(files(), 0u);
}

TEST_F(Orphans, AnotherBootsFilesAreRemovedAndAnotherContainersLeftAlone) {
  lull::process child(child_options({"sleep"}));
  pid_record other_boot = record_of(child);
  other_boot.boot_id = "another";
  write(other_boot);
  EXPECT_THAT(find(), IsEmpty());
  EXPECT_EQ(files(), 0u);
  pid_record other_container = record_of(child);
  other_container.pid_namespace = "pid:[1]";
  write(other_container);
  EXPECT_THAT(find(), IsEmpty());
  EXPECT_EQ(files(), 1u);
}

TEST_F(Orphans, FilesThatCannotBeTrustedAreLeftAlone) {
  lull::process child(child_options({"sleep"}));
  pid_file file(directory_, record_of(child));
  const fs::path path = file.path();
  ASSERT_THAT(find(), SizeIs(1));

  ::chmod(path.c_str(), 0622);
  EXPECT_THAT(find(), IsEmpty()) << "others may write it";
  ::chmod(path.c_str(), 0600);
  fs::rename(path, directory_ / "target");
  fs::create_symlink(directory_ / "target", path);
  EXPECT_THAT(find(), IsEmpty()) << "a link";
  fs::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(find(), IsEmpty()) << "a pipe, which must not be waited for";
  fs::remove(path);
  std::ofstream(path) << "lull-pid 1\nchild 5 5\n";
  EXPECT_THAT(find(), IsEmpty()) << "not whole";
  EXPECT_THAT(log_, SizeIs(4)) << "each is said";
  EXPECT_TRUE(fs::exists(path));
}

TEST_F(Orphans, NoDirectoryMeansNoOrphans) {
  EXPECT_THAT(lull::find_orphans(directory_ / "none"), IsEmpty());
  EXPECT_EQ(error_of([&] {
              std::ofstream(directory_ / "file") << "x";
              static_cast<void>(lull::find_orphans(directory_ / "file"));
            }).code(),
            status::io);
}

TEST_F(Orphans, AChildWhosePidFileCannotBeWrittenIsNotLeftRunning) {
  std::ofstream(directory_ / "file") << "x";
  auto options = child_options({"sleep"});
  options.pid_directory = directory_ / "file" / "below";
  const auto failure = error_of([&] { lull::process child(options); });
  EXPECT_EQ(failure.code(), status::io);
  EXPECT_THAT(failure.what(), HasSubstr("below"));
  EXPECT_FALSE(lull::test::has_children());
}

TEST_F(Orphans, WrongArgumentsAreRefused) {
  EXPECT_EQ(error_of([] { lull::stop_orphan({.id = 1}); }).code(), status::invalid_argument);
  EXPECT_EQ(error_of([] { lull::stop_orphan({.id = 2}, grace(-1s)); }).code(),
            status::invalid_argument);
}

}  // namespace
