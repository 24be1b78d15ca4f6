#ifndef EXAMPLES_HTTP_REPLY_HPP
#define EXAMPLES_HTTP_REPLY_HPP

/// @file
/// The answer to a request, given at once or later, from any thread, as a whole or in pieces.

#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/descriptor.hpp"
#include "http/request.hpp"

namespace http {

/// An answer that is there as a whole.
struct answer {
  int status = 200;
  std::string type = "application/json";
  std::string body = {};
  fields headers = {};
};

struct exchange;

/// Where answers that have something to send wait for the front door. Outlives it.
class outbox {
 public:
  outbox();
  void put(const std::shared_ptr<exchange>& changed);
  [[nodiscard]] std::vector<std::shared_ptr<exchange>> take();
  /// Wakes who waits for the bell.
  void ring() const noexcept;
  /// Readable from a ring to the next take().
  [[nodiscard]] int bell() const noexcept { return bell_.get(); }

 private:
  const descriptor bell_;
  std::mutex mutex_;
  /// An exchange knows its outbox: it must not be kept by it too.
  std::vector<std::weak_ptr<exchange>> changed_;
};

/// What the front door and a reply share.
struct exchange {
  std::shared_ptr<outbox> door;
  int connection = -1;     ///< whose answer it is
  bool head_only = false;  ///< a HEAD is answered
  bool chunks = true;      ///< how the end of a stream is told; else by closing
  std::stop_source unwanted;
  std::mutex mutex;
  std::string output;  ///< to be sent; under the mutex
  bool ended = false;  ///< nothing will be added; under the mutex
};

/// Answers one request. Nothing here blocks, whatever the client does: what is written waits for it
/// in memory. Destroyed without an answer, it closes the connection. Move-only, thread-safe.
class reply {
 public:
  explicit reply(std::shared_ptr<exchange> with) noexcept : with_(std::move(with)) {}
  reply(reply&&) noexcept = default;
  reply& operator=(reply&&) = delete;
  ~reply();

  /// Answers and ends.
  void send(const answer& what);

  /// Answers in pieces: begin, any number of writes, end.
  void begin(std::string_view type);
  void write(std::string_view piece);
  void end();

  /// Set when nobody waits for the answer any more: the client has closed its connection, or its
  /// half of it, or the server stops. Seen within moments.
  [[nodiscard]] std::stop_token unwanted() const { return with_->unwanted.get_token(); }

 private:
  void add(std::string_view text, bool ends);

  std::shared_ptr<exchange> with_;
  bool in_pieces_ = false;
};

}  // namespace http

#endif  // EXAMPLES_HTTP_REPLY_HPP
