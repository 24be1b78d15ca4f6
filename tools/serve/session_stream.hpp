#ifndef TOOLS_SERVE_SESSION_STREAM_HPP
#define TOOLS_SERVE_SESSION_STREAM_HPP

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "routes.hpp"
#include "session.hpp"

namespace lull::serve {

/// A response of the router's own that goes on: events, logs. Who does not read fast enough is
/// disconnected.
class session_stream : public stream, public std::enable_shared_from_this<session_stream> {
 public:
  explicit session_stream(const std::shared_ptr<session>& of) : session_(of) {}

  void begin(const std::string& type);
  bool send(std::string_view text) override;
  void on_end(std::function<void()> told) override;
  /// The connection has ended.
  void end();

 private:
  void write();

  std::weak_ptr<session> session_;
  std::string waiting_;
  std::string writing_;
  std::function<void()> told_;
  bool ended_ = false;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_SESSION_STREAM_HPP
