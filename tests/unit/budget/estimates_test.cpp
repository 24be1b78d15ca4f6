#include "budget/estimates.hpp"

#include <lull/bytes.hpp>

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "support/scratch_folder.hpp"
#include "unit/budget/world.hpp"

namespace {

using namespace lull::literals;
using lull::status;
using lull::detail::load_estimates;
using lull::test::error_of;
using testing::ElementsAre;

TEST(Estimates, AnyNamesSurviveTheirFile) {
  const load_estimates all{{"llama 3 8B %Q4\n", {{"GPU0", 1}, {"a b", ~std::uint64_t{0}}}},
                           {"\xff\x01", {{"HOST", 7}}}};
  EXPECT_EQ(lull::detail::parse_estimates(lull::detail::to_text(all)), all);
}

TEST(Estimates, AFileThatWasCutOffAnywhereIsNotRead) {
  const std::string text = lull::detail::to_text({{"model", {{"GPU0", 123456}, {"HOST", 789}}}});
  for (std::size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(lull::detail::parse_estimates(text.substr(0, length))) << length;
  }
  for (const char* const bad : {"lull-estimates 1\na b\nend\n", "lull-estimates 1\na b c\nend\n",
                                "lull-estimates 1\na%g0 b 1\nend\n", "lull-estimates 2\nend\n"}) {
    EXPECT_FALSE(lull::detail::parse_estimates(bad)) << bad;
  }
}

TEST(Estimates, WhatALoadWasMeasuredAtIsKnownToTheNextBudget) {
  const lull::test::scratch_folder folder;
  const std::string path = (folder.path() / "estimates").string();
  for (const bool again : {false, true}) {
    lull::budget_options options;
    options.devices = {{"GPU0", 10_GiB, 1_GiB}};
    options.evict = [](const auto&) {};
    options.estimates_file = path;
    lull::budget budget(options);
    lull::budget_model model{"m", {{"GPU0", 1_GiB}}};
    if (again) model.need.clear();
    budget.add(model);
    auto ticket = budget.admit("m");
    EXPECT_THAT(ticket.granted(), ElementsAre(std::pair("GPU0", again ? 3_GiB : 1_GiB)));
    ticket.confirm(lull::bytes_by_device{{"GPU0", 3_GiB}});
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(Estimates, WhoConfirmsDoesNotWaitForTheDiskAndManyChangesAreWrittenOnce) {
  const lull::test::scratch_folder folder;
  const std::string path = (folder.path() / "estimates").string();
  std::vector<std::function<void()>> jobs;  // none runs by itself, as where the disk is slow
  lull::budget_options options;
  options.devices = {{"GPU0", 10_GiB, 1_GiB}};
  options.evict = [](const auto&) {};
  options.run_on = [&](std::function<void()> job) { jobs.push_back(std::move(job)); };
  options.estimates_file = path;
  lull::budget budget(options);
  load_estimates all;
  const auto load = [&](const char* name) {
    budget.add({name, {{"GPU0", 1_GiB}}});
    budget.admit(name).confirm(lull::bytes_by_device{{"GPU0", 2_GiB}});
    all[name] = {{"GPU0", 2_GiB}};
  };
  for (const char* const name : {"m", "n", "o"}) load(name);
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_EQ(jobs.size(), 1U);
  jobs.back()();
  EXPECT_EQ(lull::detail::read_estimates(path), all);
  load("p");
  ASSERT_EQ(jobs.size(), 2U) << "what changes later is written later";
  jobs.back()();
  EXPECT_EQ(lull::detail::read_estimates(path), all);
}

TEST(Estimates, AFileThatIsNotWholeIsAnErrorAndStays) {
  const lull::test::scratch_folder folder;
  const std::string path = (folder.path() / "estimates").string();
  std::ofstream(path) << "lull-estimates 1\nm GPU0";
  EXPECT_EQ(error_of([&] { (void)lull::detail::read_estimates(path); }).code(), status::io);
  EXPECT_EQ(error_of([&] { lull::detail::write_estimates(path + "/no/folder", {}); }).code(),
            status::io);
  EXPECT_TRUE(lull::detail::read_estimates(path + "-none").empty());
}

TEST(Estimates, WhatIsNoFileEndsToo) {
  EXPECT_EQ(error_of([] { static_cast<void>(lull::detail::read_estimates("/dev/zero")); }).code(),
            status::io);
  const lull::test::scratch_folder folder;
  const std::string pipe = (folder.path() / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(error_of([&] { static_cast<void>(lull::detail::read_estimates(pipe)); }).code(),
            status::io);
}

TEST(Estimates, AFullDiskLeavesWhatWasThere) {
  const load_estimates all{{"model", {{"GPU0", 4711}}}};
  const lull::test::scratch_folder folder;
  const std::string path = (folder.path() / "estimates").string();
  lull::detail::write_estimates(path, all);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit few{16, before.rlim_max};  // as a disk that is full after so many bytes
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &few), 0);
  const auto failure = error_of([&] { lull::detail::write_estimates(path, {}); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(failure.code(), status::io);
  EXPECT_EQ(lull::detail::read_estimates(path), all);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1)
      << "nothing unfinished stays";
}

}  // namespace
