#ifndef LULL_REBIRTH_HPP
#define LULL_REBIRTH_HPP

/// @file
/// A process whose image is replaced under the same process id, so that nothing of it stays on any
/// device, whatever the vendor's runtime would leave behind. What the old image hands over goes on:
/// listening sockets with the connections that wait in their queues, counters, anything in bytes.

#include <lull/detail/requires_cxx17.hpp>
#include <lull/error.hpp>
#include <lull/export.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace lull {

/// What one image of a process leaves to the next.
struct rebirth_handover {
  /// Open in the next image under the same numbers, with the names that they are found by there.
  /// All others but 0 to 2 are closed.
  std::map<std::string, int> descriptors = {};
  /// Of the format of `blob`. The next image may be of another build where rebirth_options::program
  /// says so, and must look at it first.
  std::uint32_t version = 0;
  /// Any bytes, of any number: they go in a sealed memory file with a checksum.
  std::string blob = {};
};

/// What the next image is started with.
struct rebirth_options {
  /// Empty: the very file that this process runs, also where another has taken its place meanwhile
  /// or it was deleted; an upgrade on disk never comes in by a sleep. A path: what is there in that
  /// moment. It must call take_rebirth().
  std::filesystem::path program = {};
  /// Its own name first. Empty: those that this process was started with, as the kernel has them.
  std::vector<std::string> arguments = {};
  /// Variables set on top of those of this process; without a value: removed.
  std::map<std::string, std::optional<std::string>> environment = {};
};

/// What the image before this one has left.
struct reborn : rebirth_handover {
  std::uint64_t rebirths = 0;  ///< how often the image of this process has been replaced; from 1
};

/// To be called at the beginning of main, in every image, before there are other threads: takes
/// what the image before left. Puts back what a replacement changes: the signals that the first
/// image did not block, the name that the kernel shows for the process, and the signal that it gets
/// when its parent ends (PR_SET_PDEATHSIG). Descriptors are the caller's from then on, and are
/// closed by an exec. Once; later calls return nothing.
/// @return nothing in the first image
/// @throws error (io) when what was left cannot be read, with the reason. The process can be
///         replaced again all the same.
[[nodiscard]] LULL_API std::optional<reborn> take_rebirth();

/// Whether rebirth() can be tried: all that can be known beforehand.
/// @throws error unsupported: take_rebirth() was not called, the program has a set-user-id or
///         set-group-id bit, or the system lacks what it takes (Linux 5.11, or 3.17 where a thread
///         may unshare its descriptors); not_found: there is no such program; io: it cannot be
///         executed; invalid_argument: arguments and environment are more than the kernel takes,
///         with the figures
LULL_API void expect_rebirth_possible(const rebirth_options& how = {});

/// Replaces the image of this process, with all of its threads, by a new one under the same process
/// id. Does not return where it succeeds: no destructor runs, and nothing is flushed. Where it
/// fails it throws, and everything is as before: what is done to descriptors and signals is done to
/// a thread of its own. Any thread may call it, one at a time.
///
/// The kernel keeps: process id, parent, children, working directory, limits, locks of files that
/// are handed over, ignored signals, and signals that are pending for the process, which wait until
/// the new image takes over. It ends: threads, mappings, handlers of signals, timers but
/// alarm()'s, and children that were to end with the thread that started them
/// (process_options::end_with_parent), which are the new image's to reap. A supervisor sees no
/// change: systemd's main process stays the same, and its watchdog goes on.
/// @throws error as expect_rebirth_possible(); invalid_argument also for a descriptor that is not
///         open; busy: another thread is at it; out_of_host_memory; io: the kernel refused, with
///         its words
[[noreturn]] LULL_API void rebirth(const rebirth_handover& left, const rebirth_options& how = {});

}  // namespace lull

#endif  // LULL_REBIRTH_HPP
