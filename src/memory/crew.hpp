#ifndef LULL_MEMORY_CREW_HPP
#define LULL_MEMORY_CREW_HPP

#include <lull/clock.hpp>
#include <lull/device.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "memory/courier.hpp"

namespace lull::detail {

class arena_state;

/// Does pieces of work on several devices at once: each device has its list, and a number of
/// threads that take from it, each with a courier of its own. The thread that calls is one of them.
/// Where a thread cannot be started, those that there are do its work as well.
class crew {
 public:
  using task = std::function<void(courier& with)>;

  struct share {
    device where;
    unsigned couriers = 1;
    std::vector<task> tasks;
  };

  struct tally {
    std::uint64_t staged_bytes = 0;
    duration ready_time{};  ///< of all threads together
  };

  /// @param on_thread called first on each thread, with a call of the rest
  /// @param on_failure called at the first failure; must not throw
  crew(std::shared_ptr<arena_state> arena, const lull::clock& time,
       std::function<void(const std::function<void()>&)> on_thread,
       std::function<void()> on_failure = {});

  /// Returns when all is done and has arrived. After a failure nothing more is begun.
  /// @throws what failed first
  void run(const std::vector<share>& shares);

  /// What the couriers of a share did, by its number.
  [[nodiscard]] const tally& did(std::size_t share_number) const { return tallies_[share_number]; }

 private:
  void work(const share& from, std::atomic<std::size_t>& next, tally& into) noexcept;
  void fail() noexcept;

  std::shared_ptr<arena_state> arena_;
  const lull::clock& clock_;
  std::function<void(const std::function<void()>&)> on_thread_;
  std::function<void()> on_failure_;
  std::vector<tally> tallies_;
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace lull::detail

#endif  // LULL_MEMORY_CREW_HPP
