#ifndef TOOLS_SERVE_CHILD_OUTPUT_HPP
#define TOOLS_SERVE_CHILD_OUTPUT_HPP

#include <functional>
#include <memory>
#include <string_view>

#include "net.hpp"

namespace lull::serve {

/// Reads a pipe that a child writes to, so that the child never waits for a reader.
class child_output {
 public:
  using told = std::function<void(std::string_view text)>;

  /// @param pipe is owned from now on; -1: there is none
  child_output(net::io_context& io, int pipe, told tell);
  ~child_output();
  child_output(const child_output&) = delete;
  child_output& operator=(const child_output&) = delete;

  /// What is there already, for when the child has ended: a few reads, and no wait.
  void drain();

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_CHILD_OUTPUT_HPP
