#include "config/values.hpp"

#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lull::serve {
namespace {

using namespace std::chrono_literals;

TEST(ConfigValues, Durations) {
  EXPECT_EQ(parse_span("30"), 30s);
  EXPECT_EQ(parse_span("1.5s"), 1500ms);
  EXPECT_EQ(parse_span("250ms"), 250ms);
  EXPECT_EQ(parse_span("5m"), 5min);
  EXPECT_EQ(parse_span("2h"), 2h);
  EXPECT_EQ(parse_span("7d"), 168h);
  EXPECT_EQ(parse_span("0"), 0s);
  for (const char* const text : {"", "nan", "inf", "-1", "+1", "1e3", "0x10", "1.2.3", "5 s", "5y",
                                 "99999999999999999999d", "3651d", "."}) {
    EXPECT_THROW(parse_span(text), std::invalid_argument) << text;
  }
}

TEST(ConfigValues, SizesAndMargins) {
  EXPECT_EQ(parse_size("1.5GiB"), 1610612736U);
  EXPECT_EQ(parse_margin("1GiB").bytes, 1073741824U);
  EXPECT_DOUBLE_EQ(parse_margin("2.5%").share, 0.025);
  for (const char* const text : {"", "-1", "nan", "inf", "1e99", "99999999999999999999"}) {
    EXPECT_THROW(parse_size(text), std::invalid_argument) << text;
  }
  for (const char* const text : {"100%", "nan%", "-5%", "%", "inf%"}) {
    EXPECT_THROW(parse_margin(text), std::invalid_argument) << text;
  }
}

TEST(ConfigValues, WholeNumbers) {
  EXPECT_EQ(parse_whole("7", 0, 10), 7);
  EXPECT_EQ(parse_whole("-7", -10, 10), -7);
  for (const char* const text : {"", "11", "1.0", "7 ", "99999999999999999999", "nan", "0x1"}) {
    EXPECT_THROW(parse_whole(text, 0, 10), std::invalid_argument) << text;
  }
}

TEST(ConfigValues, AddressesOfServers) {
  EXPECT_EQ(parse_url("http://127.0.0.1:9000").where, (endpoint{"127.0.0.1", 9000}));
  EXPECT_EQ(parse_url("HTTP://[::1]:9000/").where, (endpoint{"::1", 9000}));
  EXPECT_EQ(parse_url("http://server/a/b/").where, (endpoint{"server", 80}));
  EXPECT_EQ(parse_url("http://server/a/b/").path, "/a/b");
  for (const char* const text :
       {"", "server", "https://server", "http://", "http://:80", "http://a:0", "http://a:65536",
        "http://a:b", "http://a b", "http://a/b c", "http://a?b", "http://user@a", "http://[::1",
        "ftp://a", "http://a/\r\nX: y"}) {
    EXPECT_THROW(parse_url(text), std::invalid_argument) << text;
  }
}

TEST(ConfigValues, WordsOfACommand) {
  const auto words = [](const char* text) { return split_words(text); };
  using strings = std::vector<std::string>;
  EXPECT_EQ(words("a  b\tc\nd"), (strings{"a", "b", "c", "d"}));
  EXPECT_EQ(words(R"(a 'b c' "d 'e'" f\ g "h\"i\\j\k")"),
            (strings{"a", "b c", "d 'e'", "f g", R"(h"i\j\k)"}));
  EXPECT_EQ(words("a '' \"\""), (strings{"a", "", ""}));
  EXPECT_EQ(words("a=\"b c\"d"), (strings{"a=b cd"}));
  EXPECT_EQ(words("# all\na \\\n b\n  # more\nc"), (strings{"a", "b", "c"}));
  EXPECT_EQ(words(""), strings{});
  EXPECT_THROW(words("a 'b"), std::invalid_argument);
  EXPECT_THROW(split_words(std::string_view("a\0b", 3)), std::invalid_argument);
}

}  // namespace
}  // namespace lull::serve
