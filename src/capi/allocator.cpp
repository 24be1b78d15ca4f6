#include <lull/c/allocator.h>

#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "capi/memory.hpp"
#include "capi/registry.hpp"
#include "vocabulary/text.hpp"

using lull::capi::expect_versioned;
using lull::capi::guard;
using lull::capi::make_refill;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::text_or_empty;

struct lull_allocator {
  lull::memory& memory;
  std::vector<lull::device> devices;  ///< by their numbers
  std::string backend;
  std::string tag;  ///< of threads without one
  lull::refill_callback refill;

  /// Held for moments only.
  mutable std::mutex mutex;
  mutable std::map<const std::byte*, lull::region> regions;  ///< by their addresses

  void* allocate(std::uint64_t bytes, std::int32_t device);
  void free(const void* address);
  /// To be called with the mutex held.
  /// @throws error (not_found)
  [[nodiscard]] lull::region& at(const void* address) const;
};

namespace {

/// Plain bytes: what is allocated while a thread ends still finds its tag.
thread_local char thread_tag[sizeof(lull_region_info::tag)];

/// Without one the engine writes what was discarded itself. It knows of no regions and cannot say
/// that it has, so it counts as contents: the next offload copies it.
lull::refill_callback refill_or_engine(lull_refill_fn refill, void* user) {
  if (refill == nullptr) return [](const lull::refill_target&) {};
  return make_refill(refill, user);
}

lull_allocator_options default_allocator_options() {
  // Here for good, because the options refer to its text.
  static const auto& from = *new const lull::region_options;
  lull_allocator_options options{};
  options.struct_size = sizeof options;
  options.backend = "cuda";
  options.tag = from.tag.c_str();
  return options;
}

std::vector<lull::device> numbered_devices(const lull::registry& in, std::string_view backend) {
  std::vector<lull::device> devices{in.find(backend, 0)};
  const auto all = in.devices();
  for (const lull::device& each : all) {
    const auto next = static_cast<std::uint32_t>(devices.size());
    if (each.backend() == backend && !(each == devices[0])) {
      devices.push_back(in.find(backend, next));
    }
  }
  return devices;
}

}  // namespace

void* lull_allocator::allocate(std::uint64_t bytes, std::int32_t device) {
  if (device < 0 || static_cast<std::size_t>(device) >= devices.size()) {
    lull::detail::fail(lull::status::not_found, "backend '{}' has no device {}; it has {}", backend,
                       device, devices.size());
  }
  lull::region_options options;
  options.tag = thread_tag[0] != '\0' ? thread_tag : tag;
  options.refill = refill;
  lull::region made = memory.allocate(devices[static_cast<std::size_t>(device)],
                                      bytes != 0 ? bytes : 1, std::move(options));
  void* const address = made.address();
  const std::lock_guard lock(mutex);
  regions.emplace(static_cast<const std::byte*>(address), std::move(made));
  return address;
}

void lull_allocator::free(const void* address) {
  std::unique_lock lock(mutex);
  const auto node = regions.extract(static_cast<const std::byte*>(address));
  lock.unlock();  // giving the memory back takes its time
  if (node.empty()) {
    lull::detail::fail(lull::status::not_found, "{} is no address that this allocator handed out",
                       lull::detail::hex(reinterpret_cast<std::uintptr_t>(address)));
  }
}

lull::region& lull_allocator::at(const void* address) const {
  const auto* const byte = static_cast<const std::byte*>(address);
  const auto after = regions.upper_bound(byte);
  if (after != regions.begin()) {
    auto& [begin, region] = *std::prev(after);
    if (static_cast<std::uint64_t>(byte - begin) < region.size_bytes()) return region;
  }
  lull::detail::fail(lull::status::not_found, "{} lies in no region of this allocator",
                     lull::detail::hex(reinterpret_cast<std::uintptr_t>(address)));
}

void lull_allocator_options_init(lull_allocator_options* options) {
  if (options != nullptr) *options = default_allocator_options();
}

lull_status lull_allocator_create(lull_memory* memory, const lull_registry* registry,
                                  const lull_allocator_options* options,
                                  lull_allocator** allocator) {
  return guard([&] {
    lull::memory& in = required(memory, "memory").value;
    const lull::registry& known = *required(registry, "registry").value;
    const auto given = read_versioned(options, default_allocator_options(), "options");
    auto& result = required(allocator, "allocator");
    const std::string backend(&required(given.backend, "options->backend"));
    result = new lull_allocator{in,
                                numbered_devices(known, backend),
                                backend,
                                std::string(text_or_empty(given.tag)),
                                refill_or_engine(given.refill, given.refill_user),
                                {},
                                {}};
  });
}

void lull_allocator_destroy(lull_allocator* allocator) {
  delete allocator;
}

void* lull_allocator_alloc(void* user, uint64_t bytes, int32_t device) {
  void* address = nullptr;
  static_cast<void>(guard([&] {
    auto& from = required(static_cast<lull_allocator*>(user), "user");
    address = from.allocate(bytes, device);
  }));
  return address;
}

void lull_allocator_free(void* user, void* address, uint64_t /*bytes*/) {
  if (address == nullptr) return;
  static_cast<void>(guard([&] {
    auto& from = required(static_cast<lull_allocator*>(user), "user");
    from.free(address);
  }));
}

lull_status lull_allocator_find(const lull_allocator* allocator, const void* address,
                                lull_region_info* info) {
  return guard([&] {
    const auto& in = required(allocator, "allocator");
    required(static_cast<const std::byte*>(address), "address");
    expect_versioned(info, "info");
    const std::lock_guard lock(in.mutex);
    lull::capi::write_region(in.at(address).info(), info);
  });
}

lull_status lull_allocator_set_refill(lull_allocator* allocator, const void* address,
                                      lull_refill_fn refill, void* user) {
  return guard([&] {
    const auto& in = required(allocator, "allocator");
    required(static_cast<const std::byte*>(address), "address");
    const std::lock_guard lock(in.mutex);
    in.at(address).set_refill(refill_or_engine(refill, user));
  });
}

lull_status lull_thread_set_tag(const char* tag) {
  return guard([&] {
    const std::string_view given = text_or_empty(tag);
    if (given.size() >= sizeof thread_tag) {
      lull::detail::fail(lull::status::invalid_argument, "tag has {} bytes; it may have {}",
                         given.size(), sizeof thread_tag - 1);
    }
    // May be what lull_thread_tag() has returned.
    if (!given.empty()) std::memmove(thread_tag, given.data(), given.size());
    thread_tag[given.size()] = '\0';
  });
}

const char* lull_thread_tag(void) {
  return thread_tag;
}
