#ifndef EXAMPLES_HTTP_REQUEST_HPP
#define EXAMPLES_HTTP_REQUEST_HPP

/// @file
/// Reads HTTP/1.0 and HTTP/1.1 requests as they arrive, piece by piece (RFC 9112). What it holds is
/// bounded whatever the client sends.

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace http {

/// Names with values, in the order in which they came.
using fields = std::vector<std::pair<std::string, std::string>>;

/// The first value of a name; null when there is none.
const std::string* find(const fields& all, std::string_view name) noexcept;

struct request {
  std::string method;  ///< in capitals
  std::string path;    ///< as it was sent, without the query
  fields query;        ///< decoded
  fields headers;      ///< names in small letters
  std::string body;
  bool is_1_0 = false;  ///< from a client that does not know of chunks
};

/// Why a request is not read any further: the client's fault, and the status that says so.
class refusal : public std::runtime_error {
 public:
  refusal(int status, const std::string& reason) : runtime_error(reason), status_(status) {}
  [[nodiscard]] int status() const noexcept { return status_; }

 private:
  int status_;
};

struct request_limits {
  std::size_t head_bytes = std::size_t{16} << 10;  ///< the request line and all headers
  std::size_t body_bytes = std::size_t{4} << 20;
};

/// One request, put together from what arrives.
class request_reader {
 public:
  explicit request_reader(const request_limits& limits) : limits_(limits) {}

  /// Takes in what has arrived. What follows the request is dropped.
  /// @return whether the request is complete
  /// @throws refusal 400, 413, 431, 501 or 505; then the reader is of no use any more
  bool feed(std::string_view bytes);

  [[nodiscard]] bool head_is_read() const noexcept { return phase_ != phase::head; }
  /// Whether the client waits to be told that its body is wanted, as `curl` does with a large one.
  [[nodiscard]] bool body_awaits_consent() const;

  /// What was read. Of a complete request, once.
  [[nodiscard]] request take() { return std::move(request_); }

 private:
  enum class phase : std::uint8_t { head, body, chunk_size, chunk, chunk_end, trailers, complete };

  bool step();
  bool read_head();
  void read_request_line(std::string_view line);
  void read_header(std::string_view line);
  void expect_body();
  bool read_body();
  bool read_chunk_size();
  bool read_chunk();
  bool read_trailers();
  [[nodiscard]] std::string_view rest() const noexcept;
  bool find_line(std::string_view& line, std::size_t most_bytes) const;

  const request_limits limits_;
  phase phase_ = phase::head;
  std::string pending_;         ///< arrived and not understood yet,
  std::size_t understood_ = 0;  ///< but for its first bytes
  std::size_t looked_at_ = 0;   ///< of `pending_`, where no end of the head is
  std::size_t body_left_ = 0;   ///< of the body, or of the chunk
  std::size_t trailer_bytes_ = 0;
  request request_;
};

}  // namespace http

#endif  // EXAMPLES_HTTP_REQUEST_HPP
