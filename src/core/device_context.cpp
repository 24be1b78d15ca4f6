#include "core/device_context.hpp"

#include <map>
#include <utility>

namespace lull::detail {

std::shared_ptr<device_context> device_context::of(const std::string& key) {
  // Never destroyed: devices may be released while the process ends.
  static auto& mutex = *new std::mutex;
  static auto& contexts = *new std::map<std::string, std::weak_ptr<device_context>>;
  const std::lock_guard lock(mutex);
  std::weak_ptr<device_context>& known = contexts[key];
  if (auto context = known.lock()) return context;
  auto context = std::make_shared<device_context>();
  known = context;
  return context;
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
