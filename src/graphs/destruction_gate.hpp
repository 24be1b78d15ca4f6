#ifndef LULL_GRAPHS_DESTRUCTION_GATE_HPP
#define LULL_GRAPHS_DESTRUCTION_GATE_HPP

#include <lull/clock.hpp>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

namespace lull::detail {

struct graph_pool;

/// Keeps captures and destructions of the whole process apart: several of one kind at a time, never
/// both. Whoever wants to destroy never waits here; it leaves its pool to whoever ends the last
/// hold. So a capture can wait for anything without a deadlock through this gate.
class destruction_gate {
 public:
  /// Never destroyed: threads that outlive main's statics may still release graphs.
  static destruction_gate& of_process();

  /// Waits for destructions under way, unless this thread has a hold already.
  /// @throws error (timed_out)
  void hold(time_point deadline, const clock& time);
  /// Ends a hold of this thread; after the last one of the process, the pools that were left here
  /// are drained.
  void release_hold() noexcept;

  [[nodiscard]] std::uint64_t holds() noexcept;
  [[nodiscard]] static bool this_thread_holds() noexcept;

  /// After true, end_destroying() must follow.
  [[nodiscard]] bool try_begin_destroying() noexcept;
  void end_destroying() noexcept;

  /// Leaves a pool here for the end of the last hold.
  /// @return false when there is no hold: try again
  [[nodiscard]] bool leave(const std::shared_ptr<graph_pool>& pool) noexcept;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t holds_ = 0;
  std::uint64_t destroying_ = 0;
  std::shared_ptr<graph_pool> left_;  ///< a list through graph_pool::next_left
};

}  // namespace lull::detail

#endif  // LULL_GRAPHS_DESTRUCTION_GATE_HPP
