#include "helpers.hpp"

#include <system_error>
#include <thread>
#include <utility>

namespace lull::serve {

void helpers::run(std::function<void()> work) {
  if (!try_run(work)) work();
}

bool helpers::try_run(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    ++running_;
  }
  const auto over = [this] {
    const std::lock_guard lock(mutex_);
    --running_;
    changed_.notify_all();
  };
  try {
    std::thread([work = std::move(work), over]() mutable {
      work();
      work = nullptr;  // what it holds goes first
      over();
    }).detach();
    return true;
  } catch (const std::system_error&) {
    over();
    return false;
  }
}

void helpers::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return running_ == 0; });
}

}  // namespace lull::serve
