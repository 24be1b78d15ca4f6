#include <lull/context.hpp>

#include <algorithm>

#include "core/device_access.hpp"

namespace lull {

reset_hook::reset_hook(lull::device device, std::string name, callback before, callback after,
                       callback check)
    : context_(detail::device_access::state(device)->context) {
  if (!context_) return;
  const auto forward = [device](const callback& to) {
    return [device, to](const detail::hook_call& call) {
      if (to) to({device, call.dropping, call.was_reset});
    };
  };
  hook_ = std::make_shared<detail::context_hook>(std::move(name), forward(before), forward(check),
                                                 forward(after));
  context_->add_hook(hook_);
}

reset_hook& reset_hook::operator=(reset_hook&& other) noexcept {
  if (this != &other) {
    if (context_) context_->remove_hook(hook_);
    context_ = std::move(other.context_);
    hook_ = std::move(other.hook_);
  }
  return *this;
}

reset_hook::~reset_hook() {
  if (context_) context_->remove_hook(hook_);
}

void once_per_context::call_erased(const device& where, const std::function<void()>& setup) {
  const std::lock_guard lock(mutex_);
  const auto known = std::find_if(done_.begin(), done_.end(),
                                  [&where](const done& each) { return each.where == where; });
  // Read before the setup: should a reset come in between, it has to run again.
  const std::uint64_t generation = where.generation();
  if (known != done_.end() && known->generation == generation) return;
  setup();
  if (known != done_.end()) {
    known->generation = generation;
  } else {
    done_.push_back({where, generation});
  }
}

}  // namespace lull
