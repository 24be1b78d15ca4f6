// Which model a request is for.

#include "model_name.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using lull::serve::decode_url;
using lull::serve::form_model_finder;
using lull::serve::json_model_finder;
using lull::serve::query_value;

/// Fed in pieces of each size, which must not matter.
std::optional<std::string> model_in(const std::string& body) {
  std::optional<std::string> whole;
  for (std::size_t piece = body.size() + 1; piece > 0; --piece) {
    json_model_finder finder;
    for (std::size_t at = 0; at < body.size(); at += piece) {
      if (finder.feed(std::string_view(body).substr(at, piece))) break;
    }
    if (piece == body.size() + 1) whole = finder.model();
    EXPECT_EQ(finder.model(), whole) << body << " in pieces of " << piece;
  }
  return whole;
}

TEST(ModelName, IsThatMemberOfTheOutermostObject) {
  EXPECT_EQ(model_in(R"({"model":"a"})"), "a");
  EXPECT_EQ(model_in(R"(  { "x" : 1 , "model" : "a" })"), "a");
  EXPECT_EQ(model_in(R"({"x":{"model":"b"},"y":[{"model":"c"}],"model":"a"})"), "a");
  EXPECT_EQ(model_in(R"({"x":"\"model\":\"b\"","model":"a"})"), "a");
  EXPECT_EQ(model_in(R"({"x":"}","y":["]"],"model":"a"})"), "a");
  EXPECT_EQ(model_in(R"({"x":"\\","model":"a"})"), "a");
  EXPECT_EQ(model_in(R"({"x":"model","model":"a"})"), "a") << "a value of that name";
  EXPECT_EQ(model_in(R"({"x":-1.5e3,"t":true,"n":null,"model":"a"})"), "a");
}

TEST(ModelName, MayBeWrittenWithEscapes) {
  EXPECT_EQ(model_in(R"({"mod\u0065l":"\u0061\"\/\n"})"), "a\"/\n");
  EXPECT_EQ(model_in(R"({"model":"\u00e9\u20ac\ud83d\ude00"})"), "é€😀");
  EXPECT_EQ(model_in("{\"model\":\"é\"}"), "é");
}

TEST(ModelName, IsNotThereWhereThereIsNone) {
  for (const char* const body :
       {"", "{}", "[]", R"(["model","a"])", R"("model")", "no json", R"({"model":1})",
        R"({"model":null})", R"({"model":{"model":"a"}})", R"({"x":{"model":"a"}})", R"({"model)",
        R"({"model":"a)", "}{", R"({"Model":"a"})"}) {
    EXPECT_EQ(model_in(body), std::nullopt) << body;
  }
}

TEST(ModelName, IsKnownAsSoonAsItHasCome) {
  json_model_finder finder;
  EXPECT_FALSE(finder.feed(R"({"model":)"));
  EXPECT_TRUE(finder.feed(R"("a", "prompt": "and much mo)"));
  EXPECT_EQ(finder.model(), "a");
  json_model_finder none;
  EXPECT_TRUE(none.feed(R"([1, 2, )")) << "it can be there no more";
}

std::optional<std::string> model_in_form(const std::string& body, const std::string& type) {
  std::optional<std::string> whole;
  for (std::size_t piece = body.size() + 1; piece > 0; --piece) {
    form_model_finder finder(type);
    for (std::size_t end = piece;; end += piece) {
      if (finder.look(std::string_view(body).substr(0, end)) || end >= body.size()) break;
    }
    if (piece == body.size() + 1) whole = finder.model();
    EXPECT_EQ(finder.model(), whole) << "in pieces of " << piece;
  }
  return whole;
}

TEST(ModelName, IsAPartOfAForm) {
  const std::string form =
      "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\n"
      "Content-Type: audio/wav\r\n\r\nRIFF--xy name=\"model\"\r\n\r\n"
      "--xyz\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--xyz--\r\n";
  EXPECT_EQ(model_in_form(form, "multipart/form-data; boundary=xyz"), "whisper");
  EXPECT_EQ(model_in_form(form, "multipart/form-data; charset=x; boundary=\"xyz\""), "whisper");
  EXPECT_EQ(model_in_form(form, "multipart/form-data"), std::nullopt);
  EXPECT_EQ(model_in_form("--xyz\r\n\r\nx\r\n--xyz--", "multipart/form-data; boundary=xyz"),
            std::nullopt);
}

TEST(ModelName, IsPartOfAQuery) {
  EXPECT_EQ(query_value("/props?x=1&model=a%2Fb+c", "model"), "a/b c");
  EXPECT_EQ(query_value("/props?model", "model"), "");
  EXPECT_EQ(query_value("/props?models=a", "model"), std::nullopt);
  EXPECT_EQ(query_value("/props", "model"), std::nullopt);
  EXPECT_EQ(query_value("/?&&=&model=%zz", "model"), std::nullopt);
  EXPECT_EQ(decode_url("a%2fb+c", false), "a/b+c");
  EXPECT_EQ(decode_url("a%2", false), std::nullopt);
}

}  // namespace
