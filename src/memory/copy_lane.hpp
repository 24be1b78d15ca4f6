#ifndef LULL_MEMORY_COPY_LANE_HPP
#define LULL_MEMORY_COPY_LANE_HPP

#include <lull/device.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace lull::detail {

/// A stream of a device in which a few copies are under way at a time. Whoever copies while others
/// work keeps few and small ones in flight: copies to the host that are queued gigabytes deep hold
/// up every little copy of a decode step. Not thread-safe.
class copy_lane {
 public:
  /// @param depth the most copies that are under way at a time
  /// @throws error: as the device reports it
  copy_lane(const device& where, std::size_t depth);
  /// Waits for what is under way; what has not been waited for before is not told.
  ~copy_lane();
  copy_lane(const copy_lane&) = delete;
  copy_lane& operator=(const copy_lane&) = delete;

  /// The place of the next copy, free to be used: the copy that was there before is over.
  /// @throws error: of the copy that was there; what its `done` throws
  std::size_t next_place();
  /// Starts a copy in the next place.
  /// @param done called on this thread when it is over
  void to_host(void* host, const void* address, std::uint64_t bytes, std::function<void()> done);
  void from_host(void* address, const void* host, std::uint64_t bytes, std::function<void()> done);
  /// Waits for all of them.
  /// @throws error as next_place()
  void drain();

 private:
  struct place {
    event_handle event;
    bool busy = false;
    std::function<void()> done;
  };

  void finish(place& which);
  template <class Copy>
  void start(std::function<void()> done, Copy copy);
  void close() noexcept;

  device where_;
  stream_handle stream_;
  std::vector<place> places_;
  std::size_t next_ = 0;
};

}  // namespace lull::detail

#endif  // LULL_MEMORY_COPY_LANE_HPP
