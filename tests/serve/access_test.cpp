// Who may ask for what.

#include "access.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using lull::serve::access_rules;
using lull::serve::check_change;
using lull::serve::check_origin;
using lull::serve::header_fields;

header_fields with(std::initializer_list<std::pair<const char*, const char*>> lines) {
  header_fields fields;
  for (const auto& [name, value] : lines) fields.insert(name, value);
  return fields;
}

TEST(Access, OnlyNamesOfThisMachineAreAnsweredTo) {
  const access_rules rules;
  for (const char* const host :
       {"localhost", "localhost:8080", "127.0.0.1:1", "127.1.2.3", "[::1]:8080", "LocalHost"}) {
    EXPECT_FALSE(check_origin(rules, with({{"Host", host}}))) << host;
  }
  for (const char* const host : {"evil.example", "evil.example:8080", "127.0.0.1.evil.example",
                                 "localhost.evil.example", "127.evil", "10.0.0.1"}) {
    EXPECT_TRUE(check_origin(rules, with({{"Host", host}}))) << host;
  }
  access_rules named;
  named.allowed_hosts = {"gpu.lan"};
  EXPECT_FALSE(check_origin(named, with({{"Host", "gpu.lan:8080"}})));
  access_rules open;
  open.loopback = false;
  EXPECT_FALSE(check_origin(open, with({{"Host", "10.0.0.1"}})));
}

TEST(Access, PagesOfOtherSitesMayNotAsk) {
  const access_rules rules;
  EXPECT_FALSE(
      check_origin(rules, with({{"Host", "localhost:1"}, {"Origin", "http://localhost:1"}})));
  for (const char* const origin : {"http://evil.example", "null", "http://localhost:2",
                                   "file://localhost:1", "http://localhost:1.evil.example"}) {
    EXPECT_TRUE(check_origin(rules, with({{"Host", "localhost:1"}, {"Origin", origin}}))) << origin;
  }
}

TEST(Access, ChangesNeedTheTokenAndNoPageOfAnotherSite) {
  access_rules rules;
  EXPECT_FALSE(check_change(rules, with({})));
  EXPECT_TRUE(check_change(rules, with({{"Sec-Fetch-Site", "cross-site"}})))
      << "an image of some page, which has no Origin";
  EXPECT_FALSE(check_change(rules, with({{"Sec-Fetch-Site", "same-origin"}})));
  rules.token = "secret";
  EXPECT_EQ(check_change(rules, with({}))->status, 401U);
  EXPECT_TRUE(check_change(rules, with({{"Authorization", "Bearer secre"}})));
  EXPECT_TRUE(check_change(rules, with({{"Authorization", "Bearer secret2"}})));
  EXPECT_TRUE(check_change(rules, with({{"Authorization", "Basic secret"}})));
  EXPECT_FALSE(check_change(rules, with({{"Authorization", "bearer secret"}})));
}

}  // namespace
