#include <lull/memory.hpp>

#include "capi/guard.hpp"
#include "capi/handles.hpp"
#include "vocabulary/raw_enum.hpp"
#include "vocabulary/text.hpp"

using lull::capi::guard;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::set_text;
using lull::capi::text_or_empty;
using lull::capi::write_versioned;

static_assert(LULL_DISCARDED == static_cast<int>(lull::residency::discarded));
static_assert(LULL_DISCARD == static_cast<int>(lull::contents_action::discard));

namespace lull::capi {

backing_store make_backing(const lull_backing_kind& kind, const char* path) {
  switch (detail::raw(kind)) {
    case LULL_BACKING_HOST_MEMORY: return backing_store::host_memory();
    case LULL_BACKING_MEMFD: return backing_store::memfd();
    case LULL_BACKING_FILE: return backing_store::file(&required(path, "backing_path"));
  }
  lull::detail::fail(status::invalid_argument, "there is no backing kind {}", detail::raw(kind));
}

namespace {

contents_action make_action(const lull_contents_action& action) {
  const std::int32_t number = detail::raw(action);
  if (number < LULL_KEEP || number > LULL_DISCARD) {
    lull::detail::fail(status::invalid_argument, "there is no contents action {}", number);
  }
  return static_cast<contents_action>(number);
}

refill_callback make_refill(lull_refill_fn callback, void* user) {
  if (callback == nullptr) return {};
  return [callback, user](const refill_target& target) {
    const lull_refill_target handle{target};
    expect_callback_ok(callback(user, &handle), "refill");
  };
}

transfer_options make_transfer_options(const lull_transfer_options* options) {
  lull_transfer_options defaults{};
  lull_transfer_options_init(&defaults);
  const auto given = read_versioned(options, defaults, "options");
  transfer_options result;
  result.backing = make_backing(given.backing, given.backing_path);
  if (given.progress != nullptr) {
    result.progress = [callback = given.progress,
                       user = given.progress_user](const transfer_progress& so_far) {
      const std::string region(so_far.region);
      expect_callback_ok(callback(user, region.c_str(), so_far.done_bytes, so_far.total_bytes),
                         "progress");
    };
  }
  if (given.cancel != nullptr) result.stop = given.cancel->source.get_token();
  return result;
}

}  // namespace

eviction_plan make_eviction_plan(const lull_eviction_plan& from) {
  const auto given = read_versioned(&from, lull_eviction_plan{}, "plan");
  eviction_plan plan;
  plan.otherwise = make_action(given.otherwise);
  if (given.tag_count != 0) required(given.tags, "plan->tags");
  for (std::size_t i = 0; i < given.tag_count; ++i) {
    plan.by_tag[&required(given.tags[i].tag, "a tag")] = make_action(given.tags[i].action);
  }
  return plan;
}

}  // namespace lull::capi

void lull_memory_options_init(lull_memory_options* options) {
  if (options == nullptr) return;
  const lull::memory_options defaults;
  *options = {sizeof *options,
              defaults.chunk_bytes,
              defaults.poison_unfilled ? 1 : 0,
              LULL_LOG_WARNING,
              nullptr,
              nullptr};
}

void lull_region_options_init(lull_region_options* options) {
  if (options != nullptr) *options = {sizeof *options, "default", "", nullptr, nullptr};
}

void lull_transfer_options_init(lull_transfer_options* options) {
  if (options == nullptr) return;
  *options = {sizeof *options, LULL_BACKING_HOST_MEMORY, nullptr, nullptr, nullptr, nullptr};
}

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
    required(static_cast<const char*>(host), "host");
    required(target, "target").value.write(offset, host, bytes);
  });
}

lull_status lull_memory_create(const lull_memory_options* options, lull_memory** memory) {
  return guard([&] {
    auto& result = required(memory, "memory");
    lull_memory_options defaults{};
    lull_memory_options_init(&defaults);
    const auto given = read_versioned(options, defaults, "options");
    lull::memory_options converted;
    converted.chunk_bytes = given.chunk_bytes;
    converted.poison_unfilled = given.poison_unfilled != 0;
    converted.log = lull::capi::make_log_sink(given.log, given.log_user, given.log_threshold);
    result = new lull_memory{lull::memory(std::move(converted))};
  });
}

void lull_memory_destroy(lull_memory* memory) {
  delete memory;
}

lull_status lull_memory_allocate(lull_memory* memory, const lull_device* device, uint64_t bytes,
                                 const lull_region_options* options, lull_region** region) {
  return guard([&] {
    auto& result = required(region, "region");
    lull_region_options defaults{};
    lull_region_options_init(&defaults);
    const auto given = read_versioned(options, defaults, "options");
    lull::region_options converted;
    converted.tag = text_or_empty(given.tag);
    converted.name = text_or_empty(given.name);
    converted.refill = lull::capi::make_refill(given.refill, given.refill_user);
    result = new lull_region{
        required(memory, "memory")
            .value.allocate(required(device, "device").value, bytes, std::move(converted))};
  });
}

lull_status lull_memory_evict(lull_memory* memory, const lull_eviction_plan* plan,
                              const lull_transfer_options* options, lull_report** report) {
  return guard([&] {
    auto& from = required(memory, "memory").value;
    auto result = std::make_unique<lull_report>();
    *result =
        lull::capi::make_report(from.evict(lull::capi::make_eviction_plan(required(plan, "plan")),
                                           lull::capi::make_transfer_options(options)),
                                "evict");
    if (report != nullptr) *report = result.release();
  });
}

lull_status lull_memory_restore(lull_memory* memory, const char* const* tags, size_t tag_count,
                                const lull_transfer_options* options, lull_report** report) {
  return guard([&] {
    auto& to = required(memory, "memory").value;
    if (tag_count != 0) required(tags, "tags");
    std::vector<std::string> wanted;
    for (std::size_t i = 0; i < tag_count; ++i) wanted.emplace_back(&required(tags[i], "a tag"));
    auto result = std::make_unique<lull_report>();
    *result = lull::capi::make_report(
        to.restore(wanted, lull::capi::make_transfer_options(options)), "restore");
    if (report != nullptr) *report = result.release();
  });
}

lull_status lull_memory_region(const lull_memory* memory, size_t index, lull_region_info* info) {
  return guard([&] {
    required(info, "info");
    const auto regions = required(memory, "memory").value.regions();
    if (index >= regions.size()) {
      lull::detail::fail(lull::status::not_found, "there are {} regions", regions.size());
    }
    const lull::region_info& from = regions[index];
    lull_region_info value{};
    value.residency = static_cast<lull_residency>(from.where);
    value.leases = from.leases;
    value.moving = from.moving ? 1 : 0;
    value.size_bytes = from.size_bytes;
    set_text(value.name, from.name);
    set_text(value.tag, from.tag);
    set_text(value.device, from.device);
    write_versioned(info, value, "info");
  });
}

void lull_region_destroy(lull_region* region) {
  delete region;
}

void* lull_region_address(const lull_region* region) {
  return region != nullptr ? region->value.address() : nullptr;
}

uint64_t lull_region_size(const lull_region* region) {
  return region != nullptr ? region->value.size_bytes() : 0;
}

lull_status lull_region_residency(const lull_region* region, lull_residency* residency) {
  return guard([&] {
    auto& result = required(residency, "residency");
    result = static_cast<lull_residency>(required(region, "region").value.where());
  });
}

lull_status lull_region_acquire(const lull_region* region, lull_region_lease** lease) {
  return guard([&] {
    auto& result = required(lease, "lease");
    result = new lull_region_lease{required(region, "region").value.acquire()};
  });
}

void lull_region_lease_release(lull_region_lease* lease) {
  delete lease;
}

lull_status lull_region_refill(lull_region* region, lull_refill_fn write, void* user) {
  return guard(
      [&] { required(region, "region").value.refill(lull::capi::make_refill(write, user)); });
}
