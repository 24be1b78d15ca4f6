#include "capi/memory.hpp"

#include <string>
#include <vector>

#include "capi/arena.hpp"
#include "capi/report.hpp"
#include "capi/values.hpp"

using lull::capi::guard;
using lull::capi::read_versioned;
using lull::capi::required;

namespace lull::capi {

eviction_plan make_eviction_plan(const lull_eviction_plan& given, const char* name) {
  const std::string prefix(name);
  eviction_plan plan;
  plan.otherwise = enum_from<contents_action>(given.otherwise, (prefix + "otherwise").c_str());
  if (given.tag_count != 0) required(given.tags, (prefix + "tags").c_str());
  for (std::size_t i = 0; i < given.tag_count; ++i) {
    const std::string place = prefix + "tags[" + std::to_string(i) + "].";
    plan.by_tag[&required(given.tags[i].tag, (place + "tag").c_str())] =
        enum_from<contents_action>(given.tags[i].action, (place + "action").c_str());
  }
  return plan;
}

backing_store make_backing(lull_backing_kind kind, const char* path, const char* name) {
  const std::string field = std::string(name) + "backing";
  switch (enum_from<backing_store::kind>(kind, field.c_str())) {
    case backing_store::kind::host_memory: return backing_store::host_memory();
    case backing_store::kind::memfd: return backing_store::memfd();
    case backing_store::kind::file: break;
  }
  return backing_store::file(&required(path, (field + "_path").c_str()));
}

}  // namespace lull::capi

namespace {

lull_memory_options default_memory_options() {
  const lull::memory_options from;
  lull_memory_options options{};
  options.struct_size = sizeof options;
  options.chunk_bytes = from.chunk_bytes;
  options.poison_unfilled = from.poison_unfilled ? 1 : 0;
  options.threads = from.threads;
  options.handle_bytes = from.handle_bytes;
  lull::capi::set_default_log(options);
  return options;
}

lull_transfer_options default_transfer_options() {
  const lull::transfer_options from;
  lull_transfer_options options{};
  options.struct_size = sizeof options;
  options.backing = static_cast<lull_backing_kind>(from.backing.type());
  return options;
}

}  // namespace

namespace lull::capi {

transfer_options make_transfer_options(const lull_transfer_options* options) {
  const auto given = read_versioned(options, default_transfer_options(), "options");
  transfer_options result;
  result.backing = make_backing(given.backing, given.backing_path, "options->");
  if (given.progress != nullptr) {
    result.progress = [callback = given.progress,
                       user = given.progress_user](const transfer_progress& so_far) {
      const std::string region(so_far.region);
      expect_callback_ok(callback(user, region.c_str(), so_far.done_bytes, so_far.total_bytes),
                         "progress");
    };
  }
  result.stop = token_of(given.cancel);
  return result;
}

}  // namespace lull::capi

lull_status lull_eviction_plan_action(const lull_eviction_plan* plan, const char* tag,
                                      lull_contents_action* action) {
  return guard([&] {
    const auto& of = required(plan, "plan");
    const std::string_view which(&required(tag, "tag"));
    auto& result = required(action, "action");
    // Without memory of its own: a participant that wakes asks this too.
    lull_contents_action found = of.otherwise;
    if (of.tag_count != 0) required(of.tags, "plan->tags");
    for (std::size_t i = 0; i < of.tag_count; ++i) {
      if (which == lull::capi::text_or_empty(of.tags[i].tag)) found = of.tags[i].action;
    }
    result = static_cast<lull_contents_action>(
        lull::capi::enum_from<lull::contents_action>(found, "the plan's action"));
  });
}

void lull_memory_options_init(lull_memory_options* options) {
  if (options != nullptr) *options = default_memory_options();
}

void lull_transfer_options_init(lull_transfer_options* options) {
  if (options != nullptr) *options = default_transfer_options();
}

lull_status lull_memory_create(const lull_memory_options* options, lull_memory** memory) {
  return guard([&] {
    const auto given = read_versioned(options, default_memory_options(), "options");
    auto& result = required(memory, "memory");
    lull::memory_options converted;
    converted.chunk_bytes = given.chunk_bytes;
    converted.poison_unfilled = given.poison_unfilled != 0;
    converted.threads = given.threads;
    converted.handle_bytes = given.handle_bytes;
    converted.log = lull::capi::log_of(given);
    if (given.arena != nullptr) converted.arena = given.arena->value;
    result = new lull_memory{lull::memory(std::move(converted))};
  });
}

void lull_memory_destroy(lull_memory* memory) {
  delete memory;
}

uint64_t lull_memory_leftover_bytes(const lull_memory* memory) {
  return memory != nullptr ? memory->value.leftover_bytes() : 0;
}

lull_status lull_memory_evict(lull_memory* memory, const lull_eviction_plan* plan,
                              const lull_transfer_options* options, lull_report** report) {
  if (report != nullptr) *report = nullptr;
  return guard([&] {
    lull::memory& from = required(memory, "memory").value;
    const auto how = lull::capi::make_eviction_plan(required(plan, "plan"), "plan->");
    lull::capi::carry_out("evict", options, report, [&](const lull::transfer_options& given) {
      return from.evict(how, given);
    });
  });
}

lull_status lull_memory_drop_backups(lull_memory* memory, const lull_eviction_plan* plan,
                                     uint64_t* bytes) {
  return guard([&] {
    lull::memory& of = required(memory, "memory").value;
    const auto dropped =
        of.drop_backups(lull::capi::make_eviction_plan(required(plan, "plan"), "plan->"));
    if (bytes != nullptr) *bytes = dropped;
  });
}

lull_status lull_memory_restore(lull_memory* memory, const char* const* tags, size_t tag_count,
                                const lull_transfer_options* options, lull_report** report) {
  if (report != nullptr) *report = nullptr;
  return guard([&] {
    lull::memory& to = required(memory, "memory").value;
    const auto wanted = lull::capi::texts_of(tags, tag_count, "tags");
    lull::capi::carry_out("restore", options, report, [&](const lull::transfer_options& given) {
      return to.restore(wanted, given);
    });
  });
}
