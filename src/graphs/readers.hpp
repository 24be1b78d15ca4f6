#ifndef LULL_GRAPHS_READERS_HPP
#define LULL_GRAPHS_READERS_HPP

#include <lull/graph_cache_core.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace lull::detail {

/// Whether the kernel runs a full fence on every thread of this process when asked, at a cost that
/// an eviction can bear: membarrier(2), private expedited, Linux 4.14. Registers at the first call.
bool has_remote_fence() noexcept;
/// Does nothing where there is none: then there are no readers to fence against.
void remote_fence() noexcept;

/// The readers of one cache, one a thread. They are reused, and freed with the cache only. The list
/// is guarded by the pool's mutex.
class graph_readers {
 public:
  explicit graph_readers(std::uint64_t core_id);
  ~graph_readers();
  graph_readers(const graph_readers&) = delete;
  graph_readers& operator=(const graph_readers&) = delete;

  /// This thread's reader, made at its first call; null when the thread is ending or memory is out.
  graph_reader* of_this_thread() noexcept;

  [[nodiscard]] bool pins(const graph_node& node) const noexcept;
  [[nodiscard]] std::uint64_t pin_count() const noexcept;
  [[nodiscard]] std::uint64_t hits() const noexcept;
  [[nodiscard]] std::uint64_t newest_stamp() const noexcept;
  void set_floors(std::uint64_t floor) noexcept;
  /// Whether no other thread ever looked something up.
  [[nodiscard]] bool only_this_thread() const noexcept;

 private:
  const std::uint64_t core_id_;
  std::vector<std::unique_ptr<graph_reader>> list_;
};

}  // namespace lull::detail

#endif  // LULL_GRAPHS_READERS_HPP
