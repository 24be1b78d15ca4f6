#ifndef LULL_MEMORY_ARENA_HPP
#define LULL_MEMORY_ARENA_HPP

#include <lull/host_arena.hpp>

#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "memory/host_claim.hpp"
#include "memory/numa.hpp"
#include "memory/pages.hpp"
#include "memory/pinning.hpp"

namespace lull::detail {

/// A stretch of an arena. Whoever took it has it to himself, but several threads of his may ask for
/// it to be made ready.
class arena_slice {
 public:
  arena_slice(std::uint64_t bytes, host_claim claim, std::optional<unsigned> numa_node)
      : pages_(bytes), claim_(std::move(claim)), numa_node_(numa_node) {
    if (numa_node) prefer_numa_node(pages_.address(), pages_.size_bytes(), *numa_node);
  }

  [[nodiscard]] std::byte* address() const noexcept { return pages_.address(); }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return pages_.size_bytes(); }

 private:
  friend class arena_state;

  mutable std::mutex readying_;
  pages pages_;
  host_claim claim_;
  std::optional<unsigned> numa_node_;
  bool populated_ = false;
  pinning pin_;
};

/// What a host_arena is. Thread-safe.
class arena_state {
 public:
  explicit arena_state(const host_arena_options& options);
  ~arena_state();
  arena_state(const arena_state&) = delete;
  arena_state& operator=(const arena_state&) = delete;

  [[nodiscard]] std::uint64_t slice_bytes() const noexcept { return options_.slice_bytes; }

  /// Slices for so many bytes: all of slice_bytes(), but for the last, which may be shorter. What
  /// is ready for the device comes first. Fewer where the budget ends.
  /// @throws error out_of_host_memory: the machine has not that much
  [[nodiscard]] std::vector<std::unique_ptr<arena_slice>> take(std::uint64_t bytes,
                                                               const device& for_device);
  /// Keeps a slice for the next who needs one, within the budget.
  void give(std::unique_ptr<arena_slice> slice) noexcept;

  /// Whether it is populated and pinned for the device.
  [[nodiscard]] static bool is_ready(arena_slice& slice, const device& for_device);
  /// Populates it, and pins it where that is possible.
  /// @return whether it is pinned
  /// @throws error out_of_host_memory
  bool make_ready(arena_slice& slice, const device& for_device);
  /// Populates it only.
  static void populate(arena_slice& slice);

  void prepare(const device& for_device, std::uint64_t bytes, const prepare_options& options);
  void wait_prepared();
  std::uint64_t trim(std::uint64_t keep_bytes);
  void set_budget(std::uint64_t bytes);
  [[nodiscard]] host_arena_info info() const;

  /// Other memory that is pinned for as long as it is used counts as well.
  /// @return whether the budget has room for it
  [[nodiscard]] bool count_pinned(std::uint64_t bytes);
  void uncount_pinned(std::uint64_t bytes) noexcept;

  /// Remembers why something could not be pinned; empty: it could.
  void note_refusal(std::string_view reason) noexcept;
  /// The same of what nobody tried to pin: there is no room for it, or it is not worth it.
  void note_no_room(std::uint64_t bytes) noexcept;
  void note_not_tried(std::string_view reason) noexcept;
  /// How often something was not pinned, for whatever reason.
  [[nodiscard]] std::uint64_t refusals() const;
  /// The last reason after so many; empty: there was none.
  [[nodiscard]] std::string refusal_after(std::uint64_t refusals) const;

 private:
  struct preparation {
    std::uint64_t number = 0;
    std::uint64_t aim_bytes = 0;
    prepare_options options;
    time_point begun{};
    std::uint64_t done_bytes = 0;
  };

  [[nodiscard]] std::unique_ptr<arena_slice> take_free(std::uint64_t bytes,
                                                       const device& for_device,
                                                       std::optional<unsigned> numa_node);
  using lock_type = std::unique_lock<std::mutex>;
  [[nodiscard]] std::unique_ptr<arena_slice> make_slice(std::uint64_t bytes,
                                                        std::optional<unsigned> numa_node,
                                                        lock_type& lock);
  [[nodiscard]] bool make_room(std::uint64_t bytes, lock_type& lock);
  void drop_last(lock_type& lock);
  void remember_refusal(std::string_view reason) noexcept;
  void remember_budget(std::uint64_t bytes) noexcept;
  void forget(const arena_slice& slice) noexcept;
  void release(std::unique_ptr<arena_slice> slice) const noexcept;
  void prepare_in_background(const device& for_device, std::uint64_t number);
  [[nodiscard]] std::uint64_t ready_bytes(const device& for_device) const;
  [[nodiscard]] std::unique_ptr<arena_slice> next_unready(const device& for_device,
                                                          std::uint64_t number, lock_type& lock);
  [[nodiscard]] bool prepare_one(const device& for_device, std::uint64_t number);
  void stop_preparing() noexcept;

  const host_arena_options options_;
  mutable std::mutex mutex_;
  std::uint64_t budget_bytes_;
  std::uint64_t held_bytes_ = 0;
  std::uint64_t used_bytes_ = 0;
  std::uint64_t other_bytes_ = 0;     ///< counted by count_pinned
  std::uint64_t readying_bytes_ = 0;  ///< of slices that prepare() works on
  std::vector<const arena_slice*> all_;
  std::list<std::unique_ptr<arena_slice>> free_;
  std::string not_pinned_because_;
  std::uint64_t refusals_ = 0;
  std::string last_refusal_;

  preparation preparing_;
  unsigned preparers_ = 0;
  std::condition_variable preparing_changed_;
  std::vector<std::thread> threads_;
};

struct arena_access {
  static const std::shared_ptr<arena_state>& state(const host_arena& of) noexcept {
    return of.state_;
  }
};

}  // namespace lull::detail

#endif  // LULL_MEMORY_ARENA_HPP
