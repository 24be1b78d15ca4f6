#include "server/slots.hpp"

#include <lull/error.hpp>

namespace example {

void slots::take(lull::time_point deadline, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (!freed_.wait_until(lock, stop, deadline, [this] { return free_ > 0; })) {
    if (stop.stop_requested()) {
      throw lull::error(lull::status::cancelled, "the server is stopping");
    }
    throw lull::error(lull::status::timed_out, "the deadline passed while waiting for a free slot");
  }
  --free_;
}

void slots::give_back() noexcept {
  {
    const std::lock_guard lock(mutex_);
    ++free_;
  }
  freed_.notify_one();
}

}  // namespace example
