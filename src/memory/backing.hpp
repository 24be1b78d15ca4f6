#ifndef LULL_MEMORY_BACKING_HPP
#define LULL_MEMORY_BACKING_HPP

#include <lull/memory.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace lull::detail {

class arena_state;

/// Space for the contents of one transfer from one device, obtained as a whole. Regions keep it
/// alive and give their parts back one by one. Reading and writing different parts is thread-safe.
class backing {
 public:
  /// How the CPU and the device reach a part.
  struct view {
    std::byte* address = nullptr;  ///< null when only read and write reach it
    bool pinned = false;           ///< the device copies from and to it at full speed
  };

  /// @param arena where host memory comes from as far as it goes; null: from the system
  /// @throws error out_of_host_memory: with what is missing; io
  static std::shared_ptr<backing> obtain(const backing_store& store, std::uint64_t bytes,
                                         const device& of,
                                         const std::shared_ptr<arena_state>& arena);

  virtual ~backing() = default;
  backing(const backing&) = delete;
  backing& operator=(const backing&) = delete;

  /// A copy must not cross a multiple of this; 0: there is no such bound.
  [[nodiscard]] virtual std::uint64_t stretch_bytes() const noexcept { return 0; }
  /// Whether a part is ready for full speed already, so that make_ready() takes no time.
  [[nodiscard]] virtual bool is_ready(std::uint64_t offset, const device& with) const = 0;
  /// Makes the stretch with this offset ready for copies of a device, as fast as can be.
  /// @throws error out_of_host_memory
  [[nodiscard]] virtual view make_ready(std::uint64_t offset, const device& with) = 0;

  /// @throws error (io)
  virtual void write(std::uint64_t offset, const void* from, std::uint64_t bytes) = 0;
  /// @throws error (io)
  virtual void read(std::uint64_t offset, void* to, std::uint64_t bytes) const = 0;
  /// Gives the space of a part back; its contents are gone.
  virtual void give_back(std::uint64_t offset, std::uint64_t bytes) noexcept = 0;
  /// All parts have been written: what was promised is in use now.
  virtual void complete() noexcept {}

 protected:
  backing() = default;

 private:
  friend class backup;
  std::atomic<std::uint64_t> needed_parts_{0};
};

/// Parts start at multiples of this, so that every part can be given back whole: the largest base
/// page of Linux (arm64 with CONFIG_ARM64_64K_PAGES).
inline constexpr std::uint64_t backing_alignment = std::uint64_t{64} << 10;

/// A part of a backing: where one region's contents are.
class backup {
 public:
  backup() = default;
  backup(std::shared_ptr<backing> in, std::uint64_t offset, std::uint64_t bytes) noexcept
      : where_(std::move(in)), offset_(offset), bytes_(bytes), needed_(true) {
    ++where_->needed_parts_;
  }

  [[nodiscard]] backing& place() const noexcept { return *where_; }
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }

  /// Says that the part is needed no longer. Called for many before drop(), it spares giving each
  /// back by itself when nothing of the backing is needed: closing the whole is far cheaper.
  void retire() noexcept {
    if (std::exchange(needed_, false)) --where_->needed_parts_;
  }

  /// Gives the space back.
  void drop() noexcept {
    retire();
    if (where_ && where_->needed_parts_ != 0) where_->give_back(offset_, bytes_);
    where_.reset();
  }

 private:
  std::shared_ptr<backing> where_;
  std::uint64_t offset_ = 0;
  std::uint64_t bytes_ = 0;
  bool needed_ = false;
};

}  // namespace lull::detail

#endif  // LULL_MEMORY_BACKING_HPP
