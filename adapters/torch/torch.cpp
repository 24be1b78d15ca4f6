#include <lull/torch.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "failure.hpp"
#include "space.hpp"

using lull_torch::guarded;
using lull_torch::reports;
using lull_torch::space;

namespace {

template <class Value>
Value& required(Value* value, const char* name) {
  if (value == nullptr) {
    throw lull::error(lull::status::invalid_argument, std::string(name) + " is null");
  }
  return *value;
}

/// Hands reports to whoever wants them.
void hand_over(reports& done, lull_report** contents, lull_report** context) noexcept {
  if (contents != nullptr) *contents = std::exchange(done.contents, nullptr);
  if (context != nullptr) *context = std::exchange(done.context, nullptr);
}

std::uint64_t size_of(ssize_t bytes) {
  if (bytes < 0) throw lull::error(lull::status::invalid_argument, "a size below 0");
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace

void* lull_torch_alloc(ssize_t bytes, int device, void* /*stream*/) {
  return space::shared().allocate(size_of(bytes), device);
}

void* lull_torch_pool_alloc(ssize_t bytes, int device, void* /*stream*/) {
  try {
    return space::shared().allocate(size_of(bytes), device);
  } catch (const lull::error& failure) {
    if (failure.code() != lull::status::out_of_device_memory) throw;
    static_cast<void>(lull_torch::remember_current());
    return nullptr;
  }
}

void lull_torch_free(void* address, ssize_t /*bytes*/, int /*device*/, void* /*stream*/) {
  space::shared().free(address);
}

lull_status lull_torch_try_alloc(uint64_t bytes, int32_t device, void** address) {
  return guarded([&] {
    void*& result = required(address, "address");
    result = space::shared().allocate(bytes, device);
  });
}

int32_t lull_torch_set_enabled(int32_t enabled) {
  return space::shared().set_enabled(enabled != 0) ? 1 : 0;
}

lull_status lull_torch_set_backend(const char* backend) {
  return guarded([&] { space::shared().set_backend(backend); });
}

const char* lull_torch_backend(void) {
  return space::shared().backend();
}

lull_status lull_torch_memory(lull_memory** memory) {
  return guarded([&] {
    lull_memory*& result = required(memory, "memory");
    result = space::shared().memory();
  });
}

lull_status lull_torch_arena(lull_arena** arena) {
  return guarded([&] {
    lull_arena*& result = required(arena, "arena");
    result = space::shared().arena();
  });
}

lull_status lull_torch_sleep(const lull_sleep_plan* plan, lull_report** contents,
                             lull_report** context) {
  reports done;
  const lull_status result = guarded([&] { space::shared().sleep(plan, done); });
  hand_over(done, contents, context);
  return result;
}

lull_status lull_torch_wake(const char* const* tags, size_t count, lull_report** contents,
                            lull_report** context) {
  reports done;
  const lull_status result = guarded([&] {
    std::vector<std::string> wanted;
    for (std::size_t i = 0; i < count; ++i) {
      wanted.emplace_back(&required((&required(tags, "tags"))[i], "tags[]"));
    }
    space::shared().wake(wanted, done);
  });
  hand_over(done, contents, context);
  return result;
}

lull_status lull_torch_observe(lull_torch_snapshot* snapshot) {
  return guarded([&] {
    const std::size_t size = required(snapshot, "snapshot").struct_size;
    if (size <= sizeof(std::size_t)) {
      throw lull::error(lull::status::invalid_argument,
                        "snapshot->struct_size is " + std::to_string(size));
    }
    const lull_torch_snapshot seen = space::shared().observe();
    std::memcpy(static_cast<void*>(snapshot), &seen, std::min(size, sizeof seen));
    snapshot->struct_size = size;
  });
}

lull_status lull_torch_list_tags(lull_torch_tag* tags, size_t capacity, size_t* count) {
  return guarded([&] {
    if (capacity != 0) required(tags, "tags");
    std::size_t& found = required(count, "count");
    const std::vector<lull_torch_tag> all = space::shared().tags();
    std::copy_n(all.begin(), std::min(capacity, all.size()), tags);
    found = all.size();
  });
}

int32_t lull_torch_is_asleep(const char* tag) {
  return space::shared().is_asleep(tag != nullptr ? tag : "") ? 1 : 0;
}

const char* lull_torch_error(void) {
  return lull_torch::last_words();
}

lull_status lull_torch_error_status(void) {
  return lull_torch::last_status();
}
