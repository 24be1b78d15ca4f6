#include <lull/reset.hpp>

#include <utility>

#include "core/device_access.hpp"
#include "vocabulary/fork.hpp"

namespace lull {
namespace {

void take_off(std::shared_ptr<detail::device_context>& from,
              const std::shared_ptr<detail::context_hook>& hook) noexcept {
  if (!from || detail::leak_in_forked_child(std::move(from))) return;
  from->remove_hook(hook);
}

}  // namespace

reset_hook::reset_hook(lull::device device, std::string name, callback before, callback after,
                       callback check)
    : context_(detail::device_access::state(device)->context) {
  detail::expect_same_process();
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
    take_off(context_, hook_);
    context_ = std::move(other.context_);
    hook_ = std::move(other.hook_);
  }
  return *this;
}

reset_hook::~reset_hook() {
  take_off(context_, hook_);
}

}  // namespace lull
