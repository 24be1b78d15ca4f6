#include "space.hpp"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "failure.hpp"

namespace lull_torch {
namespace {

thread_local bool wants_sleeping_memory = true;

std::string name_or(std::string_view name, const char* otherwise) {
  return name.empty() ? otherwise : std::string(name);
}

}  // namespace

space& space::shared() {
  static space& one = *new space;
  return one;
}

// --- What it is made of -----------------------------------------------------------------------

/// What fails is tried again by the next call.
void space::make() {
  if (allocator_ != nullptr) return;
  const std::lock_guard lock(making_);
  if (allocator_ != nullptr) return;
  choose_backend();
  if (registry_ == nullptr) expect_ok(lull_registry_shared(&registry_));
  if (arena_ == nullptr) expect_ok(lull_arena_create(nullptr, &arena_));
  if (memory_ == nullptr) {
    lull_memory_options options{};
    lull_memory_options_init(&options);
    options.arena = arena_;
    expect_ok(lull_memory_create(&options, &memory_));
  }
  lull_allocator_options options{};
  lull_allocator_options_init(&options);
  options.backend = backend_;
  options.tag = default_tag;
  lull_allocator* made = nullptr;
  expect_ok(lull_allocator_create(memory_, registry_, &options, &made));
  allocator_ = made;
}

void space::set_backend(const char* name) {
  if (name == nullptr || *name == '\0') {
    throw lull::error(lull::status::invalid_argument, "the backend has no name");
  }
  const std::lock_guard lock(making_);
  if (allocator_ != nullptr && std::string_view(backend_) != name) {
    throw lull::error(lull::status::busy,
                      "memory of backend '" + std::string(backend_) + "' is in use; '" + name +
                          "' would have had to be chosen before the first allocation");
  }
  backend_ = names_.emplace(name).first->c_str();
}

const char* space::backend() {
  const std::lock_guard lock(making_);
  choose_backend();
  return backend_;
}

/// With the mutex held.
void space::choose_backend() {
  if (backend_ != nullptr) return;
  const char* const wanted = std::getenv("LULL_TORCH_BACKEND");
  backend_ = names_.emplace(wanted != nullptr && *wanted != '\0' ? wanted : "cuda").first->c_str();
}

lull_memory* space::memory() {
  make();
  return memory_;
}

lull_arena* space::arena() {
  make();
  return arena_;
}

/// One by one by their addresses: lull_memory_region counts from the first each time.
std::vector<lull_region_info> space::regions() {
  std::vector<void*> addresses;
  {
    const std::lock_guard lock(addresses_mutex_);
    addresses.assign(addresses_.begin(), addresses_.end());
  }
  std::vector<lull_region_info> all;  // empty too where nothing was made yet
  all.reserve(addresses.size());
  for (void* const address : addresses) {
    lull_region_info each{};
    each.struct_size = sizeof each;
    // Else it was freed meanwhile.
    if (lull_allocator_find(allocator_, address, &each) == LULL_OK) all.push_back(each);
  }
  return all;
}

std::vector<lull_torch_tag> space::tags() {
  std::map<std::string_view, lull_torch_tag> all;
  const std::vector<lull_region_info> there = regions();
  for (const lull_region_info& each : there) {
    lull_torch_tag& of = all[each.tag];
    std::copy(std::begin(each.tag), std::end(each.tag), of.tag);
    ++of.region_count;
    of.bytes += each.size_bytes;
    switch (each.residency) {
      case LULL_RESIDENCY_RESIDENT:
      case LULL_RESIDENCY_UNFILLED: of.resident_bytes += each.size_bytes; break;
      case LULL_RESIDENCY_OFFLOADED: of.offloaded_bytes += each.size_bytes; break;
      case LULL_RESIDENCY_DISCARDED: of.discarded_bytes += each.size_bytes; break;
    }
  }
  std::vector<lull_torch_tag> result;
  result.reserve(all.size());
  for (const auto& [tag, each] : all) result.push_back(each);
  return result;
}

std::uint64_t space::free_bytes(std::int32_t device) {
  make();
  lull_device* on = nullptr;
  expect_ok(
      lull_registry_find_ordinal(registry_, backend_, static_cast<std::uint32_t>(device), &on));
  lull_memory_info info{};
  info.struct_size = sizeof info;
  const lull_status code = lull_device_memory(on, LULL_PROBE_TIMEOUT, &info);
  lull_device_destroy(on);
  expect_ok(code);
  return info.free_bytes;
}

// --- Allocating -------------------------------------------------------------------------------

bool space::set_enabled(bool enabled) noexcept {
  return std::exchange(wants_sleeping_memory, enabled);
}

void* space::allocate(std::uint64_t bytes, std::int32_t device) {
  make();
  if (!wants_sleeping_memory) return allocate_plain(bytes, device);
  const std::string tag = name_or(lull_thread_tag(), default_tag);
  const std::shared_lock passing(gate_);
  if (suspended_by_ != nullptr || asleep_.contains(tag)) {
    throw lull::error(lull::status::busy,
                      "'" + tag + "' is asleep" +
                          (suspended_by_ != nullptr ? " with the process" : "") +
                          ": nothing can be allocated there until it wakes");
  }
  void* const made = lull_allocator_alloc(allocator_.load(), bytes, device);
  if (made == nullptr) expect_ok(lull_last_error_status());
  try {
    const std::lock_guard lock(addresses_mutex_);
    addresses_.insert(made);
  } catch (...) {
    lull_allocator_free(allocator_.load(), made, bytes);
    throw;
  }
  return made;
}

void* space::allocate_plain(std::uint64_t bytes, std::int32_t device) {
  lull_device* on = nullptr;
  expect_ok(
      lull_registry_find_ordinal(registry_, backend_, static_cast<std::uint32_t>(device), &on));
  bytes = std::max<std::uint64_t>(bytes, 1);
  void* made = nullptr;
  try {
    expect_ok(lull_device_allocate(on, bytes, &made));
    const std::lock_guard lock(plain_mutex_);
    plain_.emplace(made, plain{on, bytes});
  } catch (...) {
    if (made != nullptr) static_cast<void>(lull_device_deallocate(on, made, bytes));
    lull_device_destroy(on);
    throw;
  }
  return made;
}

void space::free(void* address) noexcept {
  if (address == nullptr || free_plain(address)) return;
  {
    const std::lock_guard lock(addresses_mutex_);
    if (addresses_.erase(address) == 0) return;
  }
  lull_allocator_free(allocator_.load(), address, 0);
}

/// @return whether it was one
bool space::free_plain(void* address) noexcept {
  std::unique_lock lock(plain_mutex_);
  const auto found = plain_.extract(address);
  lock.unlock();
  if (found.empty()) return false;
  const plain of = found.mapped();
  if (lull_device_deallocate(of.on, address, of.bytes) == LULL_OK) {
    lull_device_destroy(of.on);
    return true;
  }
  lock.lock();
  try {
    late_.emplace_back(address, of);
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory to remember it by: it stays
  }
  return true;
}

void space::free_late() noexcept {
  const std::lock_guard lock(plain_mutex_);
  std::vector<std::pair<void*, plain>> left;
  left.swap(late_);
  for (const auto& [address, of] : left) {
    // What cannot be freed now, awake, never will be.
    static_cast<void>(lull_device_deallocate(of.on, address, of.bytes));
    lull_device_destroy(of.on);
  }
}

}  // namespace lull_torch
