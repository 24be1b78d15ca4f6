#ifndef LULL_MEMORY_SOURCE_FILE_HPP
#define LULL_MEMORY_SOURCE_FILE_HPP

#include <lull/device.hpp>
#include <lull/file_source.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "memory/pinning.hpp"
#include "vocabulary/unique_fd.hpp"

namespace lull::detail {

class arena_state;

/// What a file_source is: the file, which one it was, and the windows of it that devices copy from
/// straight out of the page cache. Thread-safe.
class source_file {
 public:
  source_file(unique_fd file, std::filesystem::path path);
  ~source_file();
  source_file(const source_file&) = delete;
  source_file& operator=(const source_file&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return identity_.size; }
  [[nodiscard]] std::string describe() const;
  void verify() const;

  /// A copy out of the page cache must not cross a multiple of this.
  static constexpr std::uint64_t window_bytes = std::uint64_t{64} << 20;

  /// Where the page cache can be copied from at full speed, registered now if need be; null where
  /// it cannot be: the file is not in it, the device takes no memory that is only read, or the
  /// arena's budget has no room. Stays at least as long as what is returned.
  /// @param may_replace what the budget has no room for beside the rest may be registered for now,
  ///        in place of a window that is not in use
  [[nodiscard]] std::shared_ptr<const std::byte> pinned(std::uint64_t offset, const device& by,
                                                        const std::shared_ptr<arena_state>& budget,
                                                        bool may_replace);
  /// Lets go of what is registered.
  void drop_windows() noexcept;

  /// Looks at what the machine has: parts of a file that is larger than the page cache can become
  /// are read past it, where they are not in it already. A smaller one is there the next time.
  void choose_way();

  /// Reads that begin at multiples of this, into memory that does, may go past the page cache.
  static constexpr std::uint64_t direct_alignment = 4096;

  /// @throws error (io) with the file and the offset; also where the file ends early
  void read(std::uint64_t offset, void* to, std::uint64_t bytes) const;

 private:
  struct identity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    std::int64_t changed_s = 0;
    std::int64_t changed_ns = 0;

    friend bool operator==(const identity&, const identity&) = default;
  };
  struct window {
    std::mutex readying;
    pinning pin;
    std::shared_ptr<arena_state> counted_by;
    std::uint64_t counted_bytes = 0;
    std::atomic<std::uint32_t> users{0};  ///< grows under `readying` only
  };

  [[nodiscard]] identity look(int descriptor) const;
  [[nodiscard]] std::uint64_t length_of(std::size_t number) const noexcept;
  [[nodiscard]] std::uint64_t cached_pages(std::uint64_t offset, std::uint64_t bytes) const;
  [[nodiscard]] bool is_cold(std::uint64_t offset, std::uint64_t bytes) const;
  [[nodiscard]] std::uint64_t read_past_cache(std::uint64_t offset, std::byte* to,
                                              std::uint64_t bytes) const;
  [[nodiscard]] bool obtain_budget(std::size_t number, std::uint64_t bytes,
                                   const std::shared_ptr<arena_state>& budget, bool may_replace);
  void let_go(window& which) noexcept;
  [[noreturn]] void fail(const char* call, int code, std::uint64_t offset) const;

  unique_fd file_;
  unique_fd direct_;  ///< the same, past the page cache; none where the file system refuses
  std::atomic<bool> past_cache_{false};
  mutable std::atomic<bool> direct_refused_{false};
  std::filesystem::path path_;
  identity identity_;
  std::byte* mapped_ = nullptr;  ///< the whole file, shared and read-only; null where it cannot be
  std::vector<std::unique_ptr<window>> windows_;
};

struct source_access {
  static source_file& file(const file_source& of) noexcept { return *of.file_; }
};

}  // namespace lull::detail

#endif  // LULL_MEMORY_SOURCE_FILE_HPP
