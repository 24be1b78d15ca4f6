#ifndef LULL_MEMORY_EXTENT_HPP
#define LULL_MEMORY_EXTENT_HPP

#include <lull/device.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lull::detail {

/// A reserved stretch of addresses and the memory that may be behind it: that of one large region,
/// or of many small ones with one tag. Memory comes in steps of the device's granularity, 2 MiB and
/// more; 4 500 tensors of 16 bytes would take 9 GB if each had its own.
class extent {
 public:
  /// @param shared whether regions beside the first may live in it
  /// @param for_tag the tag of all of them then
  /// @param for_peers the devices that use it beside its own
  /// @param may_be_moved see may_move
  /// @param handle_bytes of each part but the last; a multiple of the device's granularity
  extent(device on, std::uint64_t bytes, bool is_shared, std::string for_tag,
         std::vector<device> for_peers, std::uint64_t handle_bytes, bool may_be_moved)
      : where(std::move(on)),
        size_bytes(bytes),
        shared(is_shared),
        tag(std::move(for_tag)),
        peers(std::move(for_peers)),
        may_move(may_be_moved),
        handle_bytes_(handle_bytes),
        holes_{{0, bytes}} {}

  const device where;
  const std::uint64_t size_bytes;
  const bool shared;
  const std::string tag;
  const std::vector<device> peers;
  const bool may_move;  ///< it is reserved somewhere else where a reset has lost its addresses

  // The device part: of whoever moves the extent alone.
  void* address = nullptr;  ///< reserved from the beginning to the end
  /// What has a handle of its own: so that a swap can give a large region's memory back, and
  /// obtain it, bit by bit. There are none before the addresses are reserved: a size that no
  /// machine has fails there, and would fill the host's memory with parts.
  struct part {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::optional<std::uint64_t> physical;  ///< the handle of the memory behind it
    bool mapped = false;
  };
  std::vector<part> parts;

  // The undoable steps, each a no-op when done already; of all parts or of one.
  /// Also where a reset has lost the addresses: the same ones again where they are free.
  void reserve();
  void obtain(part& which) const;
  void obtain();
  void map(part& which) const;
  void map();
  void unmap(part& which) const;
  void unmap();
  void free_memory(part& which) const;
  void free_memory();
  void release();

  /// Whether a reset has lost the addresses since they were reserved.
  [[nodiscard]] bool is_lost() const noexcept;
  [[nodiscard]] bool is_mapped() const noexcept;   ///< all of it
  [[nodiscard]] bool has_mapped() const noexcept;  ///< something of it
  [[nodiscard]] std::uint64_t obtained_bytes() const noexcept;

  // Book-keeping, guarded by the mutex of the memory.
  bool moving = false;        ///< a transfer or an allocation has it
  bool up = false;            ///< there is memory behind it
  std::uint32_t regions = 0;  ///< that live in it
  /// Of those that are left over: they are kept without taking any memory.
  std::shared_ptr<extent> next_leftover;

  /// A place for a region, or none.
  [[nodiscard]] std::optional<std::uint64_t> take(std::uint64_t bytes);
  /// Where there is no memory to write that down, the place is not used again while others live
  /// in the extent.
  void give_back(std::uint64_t offset, std::uint64_t bytes) noexcept;

  /// What a region in a shared extent takes: places start at multiples of this, as the memory of
  /// every vendor does.
  static constexpr std::uint64_t alignment = 512;

 private:
  void add_hole(std::uint64_t offset, std::uint64_t size);

  const std::uint64_t handle_bytes_;
  std::uint64_t reserved_in_ = 0;                 ///< the device's generation
  std::map<std::uint64_t, std::uint64_t> holes_;  ///< offset to size, none beside another
};

}  // namespace lull::detail

#endif  // LULL_MEMORY_EXTENT_HPP
