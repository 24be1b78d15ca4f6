#include <lull/context.hpp>

#include "reset/once.hpp"

namespace lull {

namespace detail {

/// Of a device whose number is beyond those that the object has room for.
struct once_node {
  std::uint64_t device;
  lull_once memory;
  once_node* next;
};

}  // namespace detail

lull_once& once_per_context::far(std::uint64_t device) {
  // Nodes come and stay, at the front.
  detail::once_node* mine = nullptr;
  detail::once_node* first = far_.load(std::memory_order_acquire);
  while (true) {
    for (detail::once_node* each = first; each != nullptr; each = each->next) {
      if (each->device != device) continue;
      delete mine;
      return each->memory;
    }
    if (mine == nullptr) mine = new detail::once_node{device, {}, nullptr};
    mine->next = first;
    if (far_.compare_exchange_strong(first, mine, std::memory_order_acq_rel)) return mine->memory;
  }
}

void once_per_context::run(lull_once& memory, const lull_generation& where, void (*work)(void*),
                           void* it) {
  detail::run_once(memory, where, [&] { work(it); });
}

}  // namespace lull
