#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "http/request.hpp"

namespace {

constexpr http::request_limits small{.head_bytes = 256, .body_bytes = 64};

/// The status with which a request is refused; 0 when it is complete, -1 when there is more to
/// come.
int status_of_text(const std::string& text, std::size_t piece = std::string::npos,
                   const http::request_limits& limits = small) {
  http::request_reader reader(limits);
  try {
    for (std::size_t at = 0; at < text.size(); at += std::min(piece, text.size())) {
      if (reader.feed(std::string_view(text).substr(at, piece))) return 0;
    }
    return -1;
  } catch (const http::refusal& fault) {
    return fault.status();
  }
}

http::request read(const std::string& text, std::size_t piece = std::string::npos) {
  http::request_reader reader(small);
  for (std::size_t at = 0; at < text.size(); at += std::min(piece, text.size())) {
    if (reader.feed(std::string_view(text).substr(at, piece))) return reader.take();
  }
  ADD_FAILURE() << "is not complete";
  return {};
}

const std::string* header(const http::request& of, const char* name) {
  return http::find(of.headers, name);
}

TEST(HttpRequest, IsReadWhateverItsPieces) {
  const std::string text =
      "POST /sleep?level=1&tags=weights&tags=kv%5Fcache&x=a+b%&empty HTTP/1.1\r\n"
      "Host: localhost:8080\r\nContent-Type:application/json \r\nContent-Length: 4\r\n\r\n{  }";
  for (const std::size_t piece :
       {std::string::npos, std::size_t{1}, std::size_t{2}, std::size_t{7}}) {
    const http::request asked = read(text, piece);
    EXPECT_EQ(asked.method, "POST");
    EXPECT_EQ(asked.path, "/sleep");
    const http::fields expected{
        {"level", "1"}, {"tags", "weights"}, {"tags", "kv_cache"}, {"x", "a b%"}, {"empty", ""}};
    EXPECT_EQ(asked.query, expected);
    ASSERT_NE(header(asked, "content-type"), nullptr);
    EXPECT_EQ(*header(asked, "content-type"), "application/json");
    EXPECT_EQ(asked.body, "{  }");
    EXPECT_FALSE(asked.is_1_0);
  }
}

TEST(HttpRequest, WithoutALengthHasNoBody) {
  EXPECT_EQ(read("POST /sleep HTTP/1.1\r\n\r\n").body, "");
  EXPECT_TRUE(read("GET / HTTP/1.0\r\n\r\n").is_1_0);
}

TEST(HttpRequest, ChunksArePutTogether) {
  const std::string head = "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n";
  for (const std::size_t piece : {std::string::npos, std::size_t{1}, std::size_t{3}}) {
    EXPECT_EQ(read(head + "3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", piece).body,
              "abc0123456789");
  }
  EXPECT_EQ(status_of_text(head + "0\r\n\r\n"), 0);
  EXPECT_EQ(status_of_text(head + "3\r\nabc\r\n"), -1);
}

TEST(HttpRequest, ChunksThatAreNoneAreRefused) {
  const std::string head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* body : {"x\r\n", "\r\n", "-1\r\n", "3\r\nabcd\r\n", "fffffffffffffffff\r\n"}) {
    EXPECT_EQ(status_of_text(head + body), 400) << body;
  }
  EXPECT_EQ(status_of_text(head + "ffffffffffffffff\r\n"), 413);
  EXPECT_EQ(status_of_text(head + "40\r\n" + std::string(64, 'x') + "\r\n1\r\n"), 413);
  EXPECT_EQ(status_of_text(head + std::string(1000, '1')), 400) << "a size without an end";
  EXPECT_EQ(status_of_text(head + "0\r\n" + std::string(1000, 't')), 400)
      << "a trailer without an end";
  std::string trailers = head + "0\r\n";
  for (int i = 0; i < 100; ++i) trailers += "T: 1\r\n";
  EXPECT_EQ(status_of_text(trailers), 431) << "trailers without an end";
}

TEST(HttpRequest, HeadersHaveALimit) {
  const std::string start = "GET / HTTP/1.1\r\n";
  EXPECT_EQ(status_of_text(std::string(300, 'x')), 431) << "one line";
  EXPECT_EQ(status_of_text(start + "A: " + std::string(300, 'x')), 431);
  std::string many = start;
  for (int i = 0; i < 100; ++i) many += "A: 1\r\n";
  EXPECT_EQ(status_of_text(many, 10), 431);
  EXPECT_EQ(status_of_text(start + "A: " + std::string(200, 'x') + "\r\n\r\n"), 0);
  EXPECT_EQ(status_of_text(start + "A: " + std::string(300, 'x') + "\r\n\r\n"), 431)
      << "it is complete";
}

TEST(HttpRequest, ALimitIsTheSameInPieces) {
  // The lengths at which a head, and the line of a chunk, are just still right.
  const std::string start = "GET / HTTP/1.1\r\nA: ";
  const std::string chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0;";
  for (std::size_t length = 250; length < 265; ++length) {
    const std::string head = start + std::string(length - start.size(), 'x') + "\r\n\r\n";
    const std::string line = chunked + std::string(length - 2, 'x') + "\r\n\r\n";
    for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{3}}) {
      EXPECT_EQ(status_of_text(head, piece), status_of_text(head)) << length;
      EXPECT_EQ(status_of_text(line, piece), status_of_text(line)) << length;
    }
    EXPECT_EQ(status_of_text(head), length <= 256 ? 0 : 431);
    EXPECT_EQ(status_of_text(line), length <= 256 ? 0 : 400);
  }
}

TEST(HttpRequest, BodiesHaveALimitBeforeTheyCome) {
  const std::string start = "POST / HTTP/1.1\r\nContent-Length: ";
  EXPECT_EQ(status_of_text(start + "65\r\n\r\n"), 413);
  EXPECT_EQ(status_of_text(start + "64\r\n\r\n"), -1);
  for (const char* length : {"-1", "+1", "1.0", "nan", "0x1", "1 1", "", "99999999999999999999"}) {
    EXPECT_EQ(status_of_text(start + length + "\r\n\r\n"), 400) << length;
  }
}

TEST(HttpRequest, WhatCouldBeReadInTwoWaysIsRefused) {
  const std::string start = "POST / HTTP/1.1\r\n";
  for (const char* headers :
       {"Content-Length: 1\r\nContent-Length: 1", "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Host: a\r\nhost: b", " Folded: x", "No colon", "Bad name: x", ": x", "A: x\rB: y",
        "A: x\nB: y"}) {
    EXPECT_EQ(status_of_text(start + headers + "\r\n\r\n"), 400) << headers;
  }
  EXPECT_EQ(status_of_text(start + "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501);
}

TEST(HttpRequest, FirstLinesThatAreNoneAreRefused) {
  for (const char* line : {"", "GET", "GET /", "GET / HTTP/1.1 ", "GET  HTTP/1.1", "GET x HTTP/1.1",
                           "G(T / HTTP/1.1", "GET /a b HTTP/1.1", "GET /\x01 HTTP/1.1", "hello"}) {
    EXPECT_EQ(status_of_text(std::string(line) + "\r\n\r\n"), 400) << line;
  }
  EXPECT_EQ(status_of_text("GET / HTTP/2.0\r\n\r\n"), 505);
}

TEST(HttpRequest, AClientMayWaitForItsBodyToBeWanted) {
  http::request_reader reader(small);
  EXPECT_FALSE(reader.body_awaits_consent());
  EXPECT_FALSE(reader.feed("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  EXPECT_TRUE(reader.head_is_read());
  EXPECT_TRUE(reader.body_awaits_consent());
  EXPECT_TRUE(reader.feed("{}"));
  EXPECT_FALSE(reader.body_awaits_consent());
}

}  // namespace
