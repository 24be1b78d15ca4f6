#include "core/own_suspension.hpp"

#include <functional>
#include <map>
#include <string>

#include "vocabulary/immortal.hpp"

namespace lull::detail {

own_suspension& own_suspension::of(std::string_view backend) {
  static immortal<std::mutex> mutex;
  static immortal<std::map<std::string, own_suspension, std::less<>>> all;
  const std::lock_guard lock(mutex.get());
  const auto known = all.get().find(backend);
  return known != all.get().end() ? known->second : all.get()[std::string(backend)];
}

bool own_suspension::begin() {
  const std::lock_guard lock(mutex_);
  if (closed()) return false;
  ++questions_;
  return true;
}

void own_suspension::end() noexcept {
  const std::lock_guard lock(mutex_);
  --questions_;
  changed_.notify_all();
}

bool own_suspension::close(const clock& time, time_point deadline) {
  std::unique_lock lock(mutex_);
  closed_.store(true, std::memory_order_release);
  while (questions_ != 0) {
    if (time.now() >= deadline) {
      closed_.store(false, std::memory_order_release);
      return false;
    }
    time.wait_until(changed_, lock, deadline);
  }
  return true;
}

void own_suspension::open() noexcept {
  const std::lock_guard lock(mutex_);
  closed_.store(false, std::memory_order_release);
}

}  // namespace lull::detail
