#include "core/device_context.hpp"

#include <map>
#include <utility>

#include "vocabulary/fork.hpp"

namespace lull::detail {

std::shared_ptr<device_context> device_context::of(generation_counter& counter) {
  // Never destroyed: devices may be released while the process ends.
  static auto& mutex = *new std::mutex;
  static auto& contexts = *new std::map<const generation_counter*, std::weak_ptr<device_context>>;
  const std::lock_guard lock(mutex);
  const auto [known, is_first] = contexts.try_emplace(&counter);
  if (auto context = known->second.lock()) return context;
  auto context = make_shared_of_process<device_context>(counter);
  if (!is_first) counter.raise();
  known->second = context;
  return context;
}

device_context::turn::turn(device_context& context, const clock& time, time_point deadline)
    : context_(context) {
  std::unique_lock lock(context.turn_mutex_);
  while (context.turn_taken_) {
    if (time.now() >= deadline) return;
    time.wait_until(context.turn_changed_, lock, deadline);
  }
  context.turn_taken_ = taken_ = true;
}

device_context::turn::~turn() {
  if (!taken_) return;
  const std::lock_guard lock(context_.turn_mutex_);
  context_.turn_taken_ = false;
  context_.turn_changed_.notify_all();
}

void device_context::add_hook(std::shared_ptr<context_hook> hook) {
  const std::lock_guard lock(hooks_mutex_);
  hooks_.push_back(std::move(hook));
}

void device_context::remove_hook(const std::shared_ptr<context_hook>& hook) noexcept {
  {
    const std::lock_guard lock(hooks_mutex_);
    hooks_.remove(hook);
  }
  hook->remove();
}

std::vector<std::shared_ptr<context_hook>> device_context::hooks() const {
  const std::lock_guard lock(hooks_mutex_);
  return {hooks_.begin(), hooks_.end()};
}

}  // namespace lull::detail
