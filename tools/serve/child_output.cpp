#include "child_output.hpp"

#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <utility>

namespace lull::serve {

struct child_output::state : std::enable_shared_from_this<state> {
  state(net::io_context& io, int descriptor, told who)
      : pipe(io.get_executor(), descriptor), tell(std::move(who)) {
    pipe.non_blocking(true);
  }
  void read() {
    pipe.async_read_some(net::buffer(text),
                         [self = shared_from_this()](error_code failed, std::size_t count) {
                           if (count > 0 && self->tell) self->tell({self->text.data(), count});
                           if (failed || !self->tell) return;
                           self->read();
                         });
  }

  net::posix::basic_stream_descriptor<executor> pipe;
  told tell;
  std::array<char, 4096> text{};
};

child_output::child_output(net::io_context& io, int pipe, told tell) {
  if (pipe < 0) return;
  state_ = std::make_shared<state>(io, pipe, std::move(tell));
  state_->read();
}

child_output::~child_output() {
  if (!state_) return;
  state_->tell = nullptr;
  error_code ignored;
  state_->pipe.close(ignored);
}

void child_output::drain() {
  if (!state_) return;
  std::array<char, 4096> text{};
  for (int round = 0; round < 64; ++round) {
    error_code failed;
    const std::size_t count = state_->pipe.read_some(net::buffer(text), failed);
    if (count > 0) state_->tell({text.data(), count});
    if (failed) return;
  }
}

}  // namespace lull::serve
