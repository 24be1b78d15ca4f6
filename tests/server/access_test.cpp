#include "http/access.hpp"

#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace {

using http::access_rules;

http::request with(http::fields headers, std::string body = {}) {
  http::request asked;
  asked.headers = std::move(headers);
  asked.body = std::move(body);
  return asked;
}

template <class Check>
int status_of(Check check) {
  try {
    check();
    return 0;
  } catch (const http::refusal& fault) {
    return fault.status();
  }
}
int origin_status(const access_rules& rules, const http::fields& headers) {
  return status_of([&] { check_origin(rules, with(headers)); });
}
int token_status(const access_rules& rules, const http::fields& headers) {
  return status_of([&] { check_token(rules, with(headers)); });
}
int json_status(const http::fields& headers, const std::string& body) {
  return status_of([&] { http::check_is_json(with(headers, body)); });
}

TEST(Access, NamesOfThisMachineAreAnsweredTo) {
  for (const char* host :
       {"localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:80"}) {
    EXPECT_EQ(origin_status({}, {{"host", host}}), 0) << host;
  }
  EXPECT_EQ(origin_status({}, {}), 0) << "HTTP/1.0 has none";
  access_rules named;
  named.host = "box.local";
  EXPECT_EQ(origin_status(named, {{"host", "box.local:8080"}}), 0);
}

TEST(Access, ANameThatOnlyPointsHereIsNotAnsweredTo) {
  for (const char* host : {"evil.example", "127.0.0.1.evil.example", "localhost.evil.example",
                           "127.evil", "", "[::2]"}) {
    EXPECT_EQ(origin_status({}, {{"host", host}}), 403) << host;
  }
}

TEST(Access, WithATokenOrBeyondLoopbackAnyNameWillDo) {
  access_rules rules;
  rules.token = "secret";
  EXPECT_EQ(origin_status(rules, {{"host", "gpu7.example"}}), 0);
  rules.loopback = false;
  EXPECT_EQ(origin_status(rules, {{"host", "gpu7.example"}}), 0);
}

TEST(Access, PagesOfOtherSitesMayNotAsk) {
  const std::string host = "localhost:8080";
  for (const char* origin :
       {"http://evil.example", "null", "http://localhost", "http://localhost:80",
        "http://localhost:8080.evil.example", "ftp://localhost:8080"}) {
    EXPECT_EQ(origin_status({}, {{"host", host}, {"origin", origin}}), 403) << origin;
  }
  EXPECT_EQ(origin_status({}, {{"host", host}, {"origin", "http://localhost:8080"}}), 0);
  EXPECT_EQ(origin_status({}, {{"origin", "http://localhost:8080"}}), 403);
}

TEST(Access, TheTokenIsDemandedWhenThereIsOne) {
  EXPECT_EQ(token_status({}, {}), 0);
  access_rules rules;
  rules.token = "secret";
  for (const char* given : {"", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets",
                            "Bearer Secret", "secret", "Basic secret"}) {
    EXPECT_EQ(token_status(rules, {{"authorization", given}}), 401) << given;
  }
  EXPECT_EQ(token_status(rules, {}), 401);
  EXPECT_EQ(token_status(rules, {{"authorization", "Bearer secret"}}), 0);
  EXPECT_EQ(token_status(rules, {{"authorization", "bearer secret"}}), 0);
}

TEST(Access, WhatAFormCanSendIsNotJson) {
  EXPECT_EQ(json_status({}, ""), 0) << "curl -X POST";
  EXPECT_EQ(json_status({{"content-type", "application/json; charset=utf-8"}}, "{}"), 0);
  EXPECT_EQ(json_status({{"content-type", "Application/JSON"}}, ""), 0);
  for (const char* type : {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                           "", "application/jsonp", "text/plain; application/json"}) {
    EXPECT_EQ(json_status({{"content-type", type}}, "{}"), 415) << type;
    EXPECT_EQ(json_status({{"content-type", type}}, ""), 415) << type;
  }
  EXPECT_EQ(json_status({}, "{}"), 415);
}

}  // namespace
