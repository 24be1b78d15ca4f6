#include "allocator.h"

#include <mutex>
#include <stdexcept>

namespace {

// Made once and kept until the process ends: PyTorch frees its last tensors while the interpreter
// shuts down.
std::mutex making;
lull_memory* memory = nullptr;
lull_allocator* allocator = nullptr;

/// With the mutex held. What fails is tried again by the next call.
lull_status make() {
  if (memory == nullptr) {
    if (const lull_status made = lull_memory_create(nullptr, &memory); made != LULL_OK) return made;
  }
  lull_registry* registry = nullptr;
  if (const lull_status found = lull_registry_create(nullptr, &registry); found != LULL_OK) {
    return found;
  }
  const lull_status made = lull_allocator_create(memory, registry, nullptr, &allocator);
  lull_registry_destroy(registry);
  return made;
}

/// @return null: lull_last_error_message says why
lull_allocator* the_allocator() {
  const std::lock_guard lock(making);
  if (allocator == nullptr) static_cast<void>(make());
  return allocator;
}

}  // namespace

void* lull_torch_alloc(ssize_t bytes, int device, void* /*stream*/) {
  if (lull_allocator* const from = the_allocator()) {
    if (void* const made = lull_allocator_alloc(from, static_cast<uint64_t>(bytes), device)) {
      return made;
    }
  }
  throw std::runtime_error(lull_last_error_message());
}

void lull_torch_free(void* address, ssize_t bytes, int /*device*/, void* /*stream*/) {
  if (address != nullptr) {
    lull_allocator_free(the_allocator(), address, static_cast<uint64_t>(bytes));
  }
}

int lull_torch_sleep() {
  if (the_allocator() == nullptr) return lull_last_error_status();
  const lull_eviction_plan all{LULL_CONTENTS_OFFLOAD, nullptr, 0};
  return lull_memory_evict(memory, &all, nullptr, nullptr);
}

int lull_torch_wake() {
  if (the_allocator() == nullptr) return lull_last_error_status();
  return lull_memory_restore(memory, nullptr, 0, nullptr, nullptr);
}

const char* lull_torch_error() {
  return lull_last_error_message();
}
