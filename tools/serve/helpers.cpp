#include "helpers.hpp"

#include <system_error>
#include <thread>
#include <utility>

namespace lull::serve {

void helpers::run(std::function<void()> work) {
  const auto whole = [this, work = std::move(work)] {
    work();
    const std::lock_guard lock(mutex_);
    --running_;
    changed_.notify_all();
  };
  {
    const std::lock_guard lock(mutex_);
    ++running_;
  }
  try {
    std::thread(whole).detach();
  } catch (const std::system_error&) {
    whole();
  }
}

void helpers::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return running_ == 0; });
}

}  // namespace lull::serve
