#include "server/slots.hpp"

#include <lull/error.hpp>

namespace example {

slots::slots(int count) {
  // Given back without allocating: the capacity stays.
  for (int slot = count; slot-- > 0;) free_.push_back(slot);
}

int slots::take(lull::time_point deadline, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (!freed_.wait_until(lock, stop, deadline, [this] { return !free_.empty(); })) {
    if (stop.stop_requested()) {
      throw lull::error(lull::status::cancelled, "the server is stopping");
    }
    throw lull::error(lull::status::timed_out, "the deadline passed while waiting for a free slot");
  }
  const int slot = free_.back();
  free_.pop_back();
  return slot;
}

void slots::give_back(int slot) noexcept {
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(slot);
  }
  freed_.notify_one();
}

}  // namespace example
