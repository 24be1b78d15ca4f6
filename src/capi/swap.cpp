#include <lull/c/swap.h>

#include "capi/memory.hpp"
#include "capi/report.hpp"

using lull::capi::fill_in;
using lull::capi::guard;
using lull::capi::required;

lull_status lull_memory_swap(lull_memory* memory, const lull_eviction_plan* leaving,
                             const char* const* tags, size_t tag_count,
                             const lull_transfer_options* options, lull_report** report) {
  return guard([&] {
    lull::memory& of = required(memory, "memory").value;
    const auto plan = lull::capi::make_eviction_plan(required(leaving, "leaving"), "leaving->");
    const auto coming = lull::capi::texts_of(tags, tag_count, "tags");
    const auto given = lull::capi::make_transfer_options(options);
    auto result = lull::capi::make_transfer_report("swap");
    fill_in(*result, of.swap(plan, coming, given));
    if (report != nullptr) *report = result.release();
  });
}
