#include <lull/c/swap.h>

#include "capi/memory.hpp"

using lull::capi::guard;
using lull::capi::required;

lull_status lull_memory_swap(lull_memory* memory, const lull_eviction_plan* leaving,
                             const char* const* tags, size_t tag_count,
                             const lull_transfer_options* options, lull_report** report) {
  if (report != nullptr) *report = nullptr;
  return guard([&] {
    lull::memory& of = required(memory, "memory").value;
    const auto plan = lull::capi::make_eviction_plan(required(leaving, "leaving"), "leaving->");
    const auto coming = lull::capi::texts_of(tags, tag_count, "tags");
    lull::capi::carry_out("swap", options, report, [&](const lull::transfer_options& given) {
      return of.swap(plan, coming, given);
    });
  });
}
