#include "demo/chart.hpp"

#include <unistd.h>

#include <stack>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "demo/axis.hpp"
#include "demo/memory_sampler.hpp"
#include "text_table.hpp"

namespace {

using lull::demo::chart;
using lull::demo::phase_kind;
using lull::demo::seconds;
using lull::demo::to_svg;
using testing::HasSubstr;
using testing::Not;

/// Whether every element that is opened is closed, in order. Enough of XML for what we write.
bool well_nested(const std::string& svg) {
  std::stack<std::string> open;
  for (std::size_t at = 0; (at = svg.find('<', at)) != std::string::npos;) {
    const std::size_t end = svg.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = svg.substr(at + 1, end - at - 1);
    at = end;
    if (tag.front() == '?' || tag.front() == '!' || tag.back() == '/') continue;
    if (tag.front() != '/') {
      open.push(tag.substr(0, tag.find_first_of(" \n")));
    } else if (open.empty() || open.top() != tag.substr(1)) {
      return false;
    } else {
      open.pop();
    }
  }
  return open.empty();
}

chart sample() {
  chart picture{"Memory & time", "1 < 2", "resident memory", 1 << 30, "the weights", {}};
  picture.panels.push_back({"offload",
                            {{seconds(0), 100}, {seconds(1), 1 << 30}, {seconds(2), 5}},
                            {{phase_kind::awake, seconds(0), seconds(1), ""},
                             {phase_kind::asleep, seconds(1), seconds(2), "\"5 B\""}}});
  return picture;
}

TEST(Chart, IsWellFormed) {
  const std::string svg = to_svg(sample());
  EXPECT_THAT(svg, testing::StartsWith("<"));
  EXPECT_TRUE(well_nested(svg)) << svg;
  EXPECT_THAT(svg, HasSubstr("Memory &amp; time"));
  EXPECT_THAT(svg, HasSubstr("1 &lt; 2"));
  EXPECT_THAT(svg, HasSubstr("offload"));
}

TEST(Chart, HasNoNumbersThatAreNone) {
  for (chart picture : {chart{}, sample(), chart{"", "", "", 0, "", {{"empty", {}, {}}}},
                        chart{"", "", "", 0, "", {{"one", {{seconds(0), 0}}, {}}}}}) {
    const std::string svg = to_svg(picture);
    EXPECT_TRUE(well_nested(svg));
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
  }
}

TEST(Axis, ReachesWhatItMustShow) {
  for (const std::uint64_t largest : {0ull, 1ull, 1023ull, 1ull << 20, 1073741825ull, 1ull << 45}) {
    const auto axis = lull::demo::bytes_axis(largest);
    EXPECT_GE(axis.end, static_cast<double>(largest));
    EXPECT_GE(axis.ticks.size(), 2u) << largest;
    EXPECT_LE(axis.ticks.size(), 12u) << largest;
    EXPECT_EQ(axis.ticks.front().value, 0);
  }
  for (const double longest : {0.0, 0.01, 1.0, 12.8, 3600.0}) {
    EXPECT_LE(lull::demo::seconds_axis(longest).ticks.size(), 20u) << longest;
  }
}

TEST(Sampler, MeasuresThisProcessAndKnowsWhatItCannot) {
  const auto own = lull::demo::resident_bytes(::getpid());
  ASSERT_TRUE(own);
  EXPECT_GT(*own, 1u << 20);
  EXPECT_FALSE(lull::demo::resident_bytes(0x7ffffff0));
}

// Names of processes and commands are what others chose.
TEST(TextTable, TellsATerminalNothing) {
  lull::tool::text_table table({{"NAME"}});
  table.add({"\x1b[2Jclean\r\n"});
  EXPECT_EQ(table.text(), "NAME\n?[2Jclean??\n");
}

TEST(TextTable, AlignsItsColumns) {
  lull::tool::text_table table({{"NAME"}, {"SIZE", lull::tool::table_column::side::right}});
  table.add({"a", "10"});
  table.add({"long name", "5"});
  EXPECT_EQ(table.text(), "NAME       SIZE\na            10\nlong name     5\n");
  EXPECT_ANY_THROW(table.add({"one cell"}));
}

}  // namespace
