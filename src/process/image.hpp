#ifndef LULL_PROCESS_IMAGE_HPP
#define LULL_PROCESS_IMAGE_HPP

#include <sys/types.h>

#include <cstdint>
#include <mutex>
#include <string>

namespace lull::detail {

/// The variable that has the number of the memory file from the image before.
inline constexpr const char* rebirth_variable = "LULL_REBIRTH_FD";

/// What the first image of a process began with, and a replacement would change, since it belongs
/// to a thread.
struct beginning {
  std::uint64_t signals = 0;  ///< that were blocked, a bit each, from signal 1 on
  std::string name;           ///< that the kernel shows for the process
  int death_signal = 0;       ///< that it gets when its parent ends; 0: none
  pid_t parent = 0;
};

/// What is known of the image that runs, and has to go over to the next.
struct image {
  /// The one of this process.
  static image& current();

  std::mutex mutex;
  bool begun = false;  ///< take_rebirth() was called
  bool being_replaced = false;
  std::uint64_t rebirths = 0;
  beginning first;
};

}  // namespace lull::detail

#endif  // LULL_PROCESS_IMAGE_HPP
