#ifndef LULL_C_SWAP_H
#define LULL_C_SWAP_H

/// @file
/// One set of regions, or one sleeper, leaves its devices while another comes. Part of
/// <lull/lull.h>.

#include <lull/c/cancel.h>
#include <lull/c/memory.h>
#include <lull/c/report.h>
#include <lull/c/sleeper.h>
#include <lull/export.h>
#include <lull/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Takes regions off their devices as the plan says and brings those with one of the tags back,
/// with both directions of the link at work at once; also where a device cannot hold both. If it
/// fails both are as they were. Blocks for copies and callbacks.
/// @param options may be null
/// @param report may be null; as lull_memory_evict() says
LULL_API lull_status lull_memory_swap(lull_memory* memory, const lull_eviction_plan* leaving,
                                      const char* const* tags, size_t tag_count,
                                      const lull_transfer_options* options, lull_report** report);

/// Puts one sleeper to sleep while another wakes; also where their devices cannot hold both. If one
/// of them fails both are put back to what they were. Blocks for both.
/// @param plan may be null: that of the leaving one's options
/// @param timeout_ns of the wake
/// @param cancel may be null
/// @param slept_report may be null
/// @param woke_report may be null
LULL_API lull_status lull_sleeper_swap(lull_sleeper* leaving, lull_sleeper* coming,
                                       const lull_sleep_plan* plan, int64_t timeout_ns,
                                       const lull_cancel* cancel, lull_report** slept_report,
                                       lull_report** woke_report);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_SWAP_H
