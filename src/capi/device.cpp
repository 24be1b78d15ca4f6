#include "capi/device.hpp"

#include <algorithm>
#include <chrono>

#include "capi/values.hpp"

using lull::capi::checked_duration;
using lull::capi::expect_versioned;
using lull::capi::guard;
using lull::capi::or_unknown;
using lull::capi::required;
using lull::capi::set_text;
using lull::capi::write_versioned;

namespace lull::capi {

std::vector<device> devices_of(lull_device* const* devices, std::size_t count, const char* name) {
  std::vector<device> all;
  for_each_required(devices, count, name,
                    [&](const lull_device* each) { all.push_back(each->value); });
  return all;
}

}  // namespace lull::capi

namespace {

static_assert(LULL_PROBE_TIMEOUT ==
              std::chrono::nanoseconds(lull::default_probe_limit) / std::chrono::nanoseconds(1));

/// Rounded up, but not to more than a duration can hold.
std::chrono::milliseconds probe_limit(std::int64_t timeout_ns) {
  using std::chrono::milliseconds;
  return std::min(std::chrono::ceil<milliseconds>(checked_duration(timeout_ns, 0, "timeout_ns")),
                  std::chrono::floor<milliseconds>(lull::duration::max()));
}

void expect_not_null(const void* pointer, const char* name) {
  required(static_cast<const char*>(pointer), name);
}

}  // namespace

void lull_device_destroy(lull_device* device) {
  delete device;
}

lull_status lull_device_describe(const lull_device* device, lull_device_info* info) {
  return guard([&] {
    const lull::device& from = required(device, "device").value;
    lull_device_info facts{};
    facts.type = static_cast<lull_device_type>(from.type());
    for (const lull::capability each : from.capabilities()) {
      facts.capabilities |= static_cast<std::uint64_t>(each);
    }
    set_text(facts.name, from.name());
    set_text(facts.description, from.description());
    set_text(facts.pci_address, from.pci_address());
    set_text(facts.uuid, from.uuid());
    set_text(facts.backend, from.backend());
    write_versioned(info, facts, "info");
  });
}

lull_status lull_device_memory(const lull_device* device, int64_t timeout_ns,
                               lull_memory_info* info) {
  return guard([&] {
    const lull::device& of = required(device, "device").value;
    expect_versioned(info, "info");
    const lull::memory_info from = of.memory(probe_limit(timeout_ns));
    lull_memory_info figures{};
    figures.source = static_cast<lull_memory_source>(from.source);
    figures.total_bytes = or_unknown(from.total_bytes);
    figures.free_bytes = or_unknown(from.free_bytes);
    figures.used_by_process_bytes = or_unknown(from.used_by_process_bytes);
    write_versioned(info, figures, "info");
  });
}

lull_status lull_device_processes(const lull_device* device, int64_t timeout_ns,
                                  lull_device_process* processes, size_t capacity, size_t* count) {
  return guard([&] {
    const lull::device& of = required(device, "device").value;
    if (capacity != 0) required(processes, "processes");
    auto& total = required(count, "count");
    const auto all = of.processes(probe_limit(timeout_ns));
    for (std::size_t i = 0; i < std::min(capacity, all.size()); ++i) {
      processes[i] = {all[i].id, or_unknown(all[i].used_bytes)};
    }
    total = all.size();
  });
}

lull_status lull_device_context_alive(const lull_device* device, int64_t timeout_ns,
                                      lull_tristate* alive) {
  return guard([&] {
    const lull::device& of = required(device, "device").value;
    auto& result = required(alive, "alive");
    result = static_cast<lull_tristate>(of.context_alive(probe_limit(timeout_ns)));
  });
}

lull_status lull_device_context_create(const lull_device* device) {
  return guard([&] { required(device, "device").value.context_create(); });
}

lull_status lull_device_generation(const lull_device* device, uint64_t* generation) {
  return guard([&] {
    const lull::device& of = required(device, "device").value;
    required(generation, "generation") = of.generation();
  });
}

const lull_generation* lull_device_generation_counter(const lull_device* device) {
  return device != nullptr ? &device->value.generation_counter() : nullptr;
}

lull_status lull_device_synchronize(const lull_device* device) {
  return guard([&] { required(device, "device").value.synchronize(); });
}

lull_status lull_device_allocate(const lull_device* device, uint64_t bytes, void** address) {
  return guard([&] {
    const lull::device& on = required(device, "device").value;
    auto& result = required(address, "address");
    result = on.allocate(bytes);
  });
}

lull_status lull_device_deallocate(const lull_device* device, void* address, uint64_t bytes) {
  return guard([&] {
    const lull::device& on = required(device, "device").value;
    expect_not_null(address, "address");
    on.deallocate(address, bytes);
  });
}

lull_status lull_device_copy_to_host(const lull_device* device, void* host, const void* address,
                                     uint64_t bytes) {
  return guard([&] {
    const lull::device& from = required(device, "device").value;
    expect_not_null(host, "host");
    expect_not_null(address, "address");
    from.copy_to_host(host, address, bytes);
  });
}

lull_status lull_device_copy_from_host(const lull_device* device, void* address, const void* host,
                                       uint64_t bytes) {
  return guard([&] {
    const lull::device& to = required(device, "device").value;
    expect_not_null(address, "address");
    expect_not_null(host, "host");
    to.copy_from_host(address, host, bytes);
  });
}

lull_status lull_device_fill(const lull_device* device, void* address, uint8_t value,
                             uint64_t bytes) {
  return guard([&] {
    const lull::device& to = required(device, "device").value;
    expect_not_null(address, "address");
    to.fill(address, std::byte{value}, bytes);
  });
}
