#ifndef LULL_MEMORY_COURIER_HPP
#define LULL_MEMORY_COURIER_HPP

#include <lull/clock.hpp>
#include <lull/device.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "memory/backing.hpp"
#include "memory/copy_lane.hpp"

namespace lull::detail {

class arena_slice;
class arena_state;

/// What one thread moves contents with, between one device and host memory or files: copies that
/// are queued and waited for later where the host memory is pinned, and else through two small
/// pinned buffers, so that one is filled or emptied while the other is copied. Not thread-safe, but
/// for in_plain() and in_staged(), which refill callbacks may call from threads of theirs.
class courier {
 public:
  using done_callback = std::function<void()>;
  /// Takes or gives the bytes at an offset of what is being moved.
  using sink =
      std::function<void(std::uint64_t offset, const std::byte* from, std::uint64_t bytes)>;
  using source = std::function<void(std::uint64_t offset, std::byte* to, std::uint64_t bytes)>;

  /// @param arena for the buffers; null: they are not pinned
  courier(const device& where, std::shared_ptr<arena_state> arena, const lull::clock& time);
  /// Waits for what is under way.
  ~courier();
  courier(const courier&) = delete;
  courier& operator=(const courier&) = delete;

  [[nodiscard]] const device& where() const noexcept { return where_; }

  /// From the device into a part of a backing. `done` is called when it has arrived, on this
  /// thread, at the latest by drain().
  /// @param look is shown the bytes on their way, in one piece or in several; may be empty
  /// @throws error: of this copy, or of one before
  void move_out(backing& to, std::uint64_t at, const void* from, std::uint64_t bytes,
                done_callback done, const sink& look = {});
  void move_in(backing& from, std::uint64_t at, void* to, std::uint64_t bytes, done_callback done,
               const sink& look = {});

  /// From host memory that is pinned. It must stay until `done`.
  void in_pinned(void* to, const std::byte* from, std::uint64_t bytes, done_callback done);
  /// From any host memory. Returns when it has been read.
  void in_plain(void* to, const void* from, std::uint64_t bytes);
  /// From whatever writes into buffers, or into the device where the CPU can. Returns when all has
  /// been read.
  void in_staged(void* to, std::uint64_t bytes, const source& from, done_callback done);

  /// Waits for all that is under way. @throws error: of a copy, or what its `done` throws
  void drain();

  /// What did not go at full speed because its host memory is not pinned: through the buffers, or
  /// as the vendor copies such memory.
  [[nodiscard]] std::uint64_t staged_bytes() const noexcept { return staged_bytes_; }
  /// What was spent in making host memory ready.
  [[nodiscard]] duration ready_time() const noexcept { return ready_time_; }

 private:
  struct buffers {
    std::unique_ptr<arena_slice> slice;
    std::unique_ptr<std::byte[]> plain;
    std::uint64_t each_bytes = 0;
    bool pinned = false;
    std::array<std::byte*, 2> at{};
  };

  [[nodiscard]] backing::view make_ready(backing& which, std::uint64_t at);
  void out_staged(const void* from, std::uint64_t bytes, const sink& to, done_callback done);
  [[nodiscard]] const buffers& staging();
  [[nodiscard]] copy_lane& direct_lane();
  [[nodiscard]] copy_lane& staged_lane();

  device where_;
  std::shared_ptr<arena_state> arena_;
  const lull::clock& clock_;
  const bool asynchronous_;
  std::mutex staging_mutex_;
  std::optional<buffers> buffers_;
  std::uint64_t staged_bytes_ = 0;
  duration ready_time_{};
  // After the buffers, so that copies are over before those go.
  std::optional<copy_lane> direct_;
  std::optional<copy_lane> staged_;
};

}  // namespace lull::detail

#endif  // LULL_MEMORY_COURIER_HPP
