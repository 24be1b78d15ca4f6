#ifndef LULL_CORE_BOOKS_HPP
#define LULL_CORE_BOOKS_HPP

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace lull::detail {

/// What can live on a device.
enum class object_kind : std::uint8_t {
  allocation,
  stream,
  event,
  pinned,        ///< host memory pinned for the device
  graph,         ///< an executable graph that was put into lull's care
  memory,        ///< physical memory for stable addresses, by its handle
  mapping,       ///< by its address
  reservation,   ///< by its address
  registration,  ///< host memory of the caller's that is registered, by its address
};
inline constexpr std::size_t object_kinds = 9;

[[nodiscard]] std::string_view to_string(object_kind kind) noexcept;

/// What lives on one device, so that a reset knows what it would destroy and a handle from before
/// it is told from a live one. Thread-safe.
class device_books {
 public:
  struct entry {
    std::uint64_t key = 0;  ///< address or handle
    std::uint64_t bytes = 0;
    /// Of a mapping: the handle of the memory. Of a reservation: 1 where another would do.
    std::uint64_t other = 0;
  };

  /// The paper that an entry is written on. Got before the vendor is called, because what the
  /// vendor has made must be written down, whether or not there is memory left.
  class slip {
   public:
    /// @throws std::bad_alloc
    static slip blank();
    [[nodiscard]] bool empty() const noexcept { return node_.empty(); }

   private:
    friend class device_books;
    std::map<std::uint64_t, entry>::node_type node_;
  };

  void add(object_kind kind, slip paper, const entry& what) noexcept;
  /// Takes an object off the books. Empty when it is not there.
  [[nodiscard]] slip remove(object_kind kind, std::uint64_t key) noexcept;
  /// Puts back what remove() returned.
  void put_back(object_kind kind, slip taken) noexcept;

  [[nodiscard]] bool contains(object_kind kind, std::uint64_t key) const;
  /// Whether an object of that kind, by address, has all of a range.
  [[nodiscard]] bool covers(object_kind kind, std::uint64_t address, std::uint64_t bytes) const;
  [[nodiscard]] std::vector<entry> all(object_kind kind) const;
  /// Forgets what is gone with the context: all but what is behind stable addresses.
  /// @param addresses_stay whether reservations are not gone either
  void clear_what_a_reset_ends(bool addresses_stay) noexcept;

  /// "3 allocations (12 MiB), 1 stream" of the kinds that a reset destroys or must not leave
  /// behind; empty when there are none. Reservations hold no memory and are not among them, nor are
  /// registrations, whose memory stays.
  [[nodiscard]] std::string describe_live() const;

 private:
  using table = std::map<std::uint64_t, entry>;

  [[nodiscard]] table& of(object_kind kind) noexcept {
    return tables_[static_cast<std::size_t>(kind)];
  }
  [[nodiscard]] const table& of(object_kind kind) const noexcept {
    return tables_[static_cast<std::size_t>(kind)];
  }

  mutable std::mutex mutex_;
  std::array<table, object_kinds> tables_;
};

}  // namespace lull::detail

#endif  // LULL_CORE_BOOKS_HPP
