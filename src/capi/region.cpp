#include <string>
#include <utility>

#include "capi/device.hpp"
#include "capi/memory.hpp"
#include "capi/source.hpp"
#include "vocabulary/text.hpp"

using lull::capi::expect_callback_ok;
using lull::capi::expect_versioned;
using lull::capi::guard;
using lull::capi::make_refill;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::set_text;
using lull::capi::text_or_empty;
using lull::capi::write_region;
using lull::capi::write_versioned;

namespace {

lull_region_options default_region_options() {
  // Here for good, because the options refer to its texts.
  static const auto& from = *new const lull::region_options;
  lull_region_options options{};
  options.struct_size = sizeof options;
  options.tag = from.tag.c_str();
  options.name = from.name.c_str();
  options.refill_alone = from.refill_alone ? 1 : 0;
  options.absent = from.absent ? 1 : 0;
  options.checksum = from.checksum ? 1 : 0;
  options.may_move = from.may_move ? 1 : 0;
  return options;
}

}  // namespace

namespace lull::capi {

refill_callback make_refill(lull_refill_fn callback, void* user) {
  if (callback == nullptr) return {};
  return [callback, user](const refill_target& target) {
    const lull_refill_target handle{target};
    const lull_status code = callback(user, &handle);
    if (code != LULL_OK && handle.failure) throw error(*handle.failure);
    expect_callback_ok(code, "refill");
  };
}

void write_region(const region_info& from, lull_region_info* info) {
  lull_region_info value{};
  value.residency = static_cast<lull_residency>(from.state);
  value.leases = from.leases;
  value.moving = from.moving ? 1 : 0;
  value.size_bytes = from.size_bytes;
  value.address = from.address;
  set_text(value.name, from.name);
  set_text(value.tag, from.tag);
  set_text(value.device, from.device);
  value.device_bytes = from.device_bytes;
  write_versioned(info, value, "info");
}

}  // namespace lull::capi

void* lull_refill_target_address(const lull_refill_target* target) {
  return target != nullptr ? target->value.address() : nullptr;
}

uint64_t lull_refill_target_size(const lull_refill_target* target) {
  return target != nullptr ? target->value.size_bytes() : 0;
}

const char* lull_refill_target_name(const lull_refill_target* target) {
  return target != nullptr ? target->value.name().c_str() : "";
}

lull_status lull_refill_target_write(const lull_refill_target* target, uint64_t offset,
                                     const void* host, uint64_t bytes) {
  return guard([&] {
    const lull::refill_target& to = required(target, "target").value;
    required(static_cast<const char*>(host), "host");
    to.write(offset, host, bytes);
  });
}

lull_status lull_refill_target_fail(const lull_refill_target* target, lull_status status,
                                    const char* why) {
  const lull_status result = lull::capi::failure_or_callback(status);
  const lull_status code = guard([&] {
    auto& failure = required(target, "target").failure;
    failure = lull::capi::callback_failure(result, why);
  });
  return code == LULL_ERROR_INVALID_ARGUMENT ? code : result;
}

void lull_region_options_init(lull_region_options* options) {
  if (options != nullptr) *options = default_region_options();
}

lull_status lull_memory_allocate(lull_memory* memory, const lull_device* device, uint64_t bytes,
                                 const lull_region_options* options, lull_region** region) {
  return guard([&] {
    lull::memory& in = required(memory, "memory").value;
    const lull::device& on = required(device, "device").value;
    const auto given = read_versioned(options, default_region_options(), "options");
    auto& result = required(region, "region");
    lull::region_options converted;
    converted.tag = text_or_empty(given.tag);
    converted.name = text_or_empty(given.name);
    converted.refill = make_refill(given.refill, given.refill_user);
    converted.refill_alone = given.refill_alone != 0;
    converted.absent = given.absent != 0;
    converted.source = lull::capi::make_region_source(given);
    converted.accessible_from = lull::capi::devices_of(
        given.accessible_from, given.accessible_from_count, "options->accessible_from");
    converted.checksum = given.checksum != 0;
    converted.may_move = given.may_move != 0;
    result = new lull_region{in.allocate(on, bytes, std::move(converted))};
  });
}

lull_status lull_memory_region(const lull_memory* memory, size_t index, lull_region_info* info) {
  return guard([&] {
    const lull::memory& in = required(memory, "memory").value;
    expect_versioned(info, "info");
    const auto regions = in.regions();
    if (index >= regions.size()) {
      lull::detail::fail(lull::status::not_found, "there are {} regions", regions.size());
    }
    write_region(regions[index], info);
  });
}

void lull_region_destroy(lull_region* region) {
  delete region;
}

lull_status lull_region_describe(const lull_region* region, lull_region_info* info) {
  return guard([&] {
    const lull::region& of = required(region, "region").value;
    write_region(of.info(), info);
  });
}

void* lull_region_address(const lull_region* region) {
  return region != nullptr ? region->value.address() : nullptr;
}

uint64_t lull_region_size(const lull_region* region) {
  return region != nullptr ? region->value.size_bytes() : 0;
}

lull_status lull_region_device(const lull_region* region, lull_device** device) {
  return guard([&] {
    const lull::region& of = required(region, "region").value;
    auto& result = required(device, "device");
    result = new lull_device{of.device()};
  });
}

lull_status lull_region_residency(const lull_region* region, lull_residency* residency) {
  return guard([&] {
    const lull::region& of = required(region, "region").value;
    auto& result = required(residency, "residency");
    result = static_cast<lull_residency>(of.state());
  });
}

lull_status lull_region_refill(lull_region* region, lull_refill_fn write, void* user) {
  return guard([&] {
    lull::region& to = required(region, "region").value;
    to.refill(make_refill(&required(write, "write"), user));
  });
}

lull_status lull_region_set_refill(lull_region* region, lull_refill_fn refill, void* user) {
  return guard([&] {
    lull::region& of = required(region, "region").value;
    of.set_refill(make_refill(refill, user));
  });
}

lull_status lull_region_acquire(const lull_region* region, lull_region_lease* lease) {
  return guard([&] {
    const lull::region& of = required(region, "region").value;
    auto& result = required(lease, "lease");
    auto* const held = new lull::region_lease(of.acquire());
    result = {held->address(), held->size_bytes(), held};
  });
}

void lull_region_lease_release(lull_region_lease* lease) {
  if (lease == nullptr) return;
  delete static_cast<lull::region_lease*>(std::exchange(*lease, {}).opaque);
}
