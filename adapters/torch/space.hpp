#ifndef LULL_ADAPTERS_TORCH_SPACE_HPP
#define LULL_ADAPTERS_TORCH_SPACE_HPP

/// @file
/// The memory that PyTorch gets in this process, and its sleep.

#include <lull/torch.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tags.hpp"

namespace lull_torch {

/// What a transition did; null where there was nothing of the kind.
struct reports {
  lull_report* contents = nullptr;
  lull_report* context = nullptr;

  reports() = default;
  ~reports() {
    lull_report_destroy(contents);
    lull_report_destroy(context);
  }
  reports(const reports&) = delete;
  reports& operator=(const reports&) = delete;
};

/// Thread-safe. What fails throws lull::error, and leaves things as they were.
class space {
 public:
  /// The one of this process, which is never destroyed.
  static space& shared();

  void set_backend(const char* name);
  const char* backend();
  lull_memory* memory();
  lull_arena* arena();

  /// Memory with the thread's tag; plain memory where the thread wants no other.
  void* allocate(std::uint64_t bytes, std::int32_t device);
  void free(void* address) noexcept;
  bool set_enabled(bool enabled) noexcept;

  /// @param done gets the reports, also those of what failed
  void sleep(const lull_sleep_plan* plan, reports& done);
  /// @param tags empty: all
  void wake(const std::vector<std::string>& tags, reports& done);

  [[nodiscard]] lull_torch_snapshot observe() const;
  /// @param tag empty: that of threads without one
  [[nodiscard]] bool is_asleep(std::string_view tag) const;
  /// What there is of each tag that something has, by their names.
  std::vector<lull_torch_tag> tags();
  /// What is free on a device for anybody; LULL_UNKNOWN where nobody can tell.
  std::uint64_t free_bytes(std::int32_t device);

 private:
  struct plain {
    lull_device* on;
    std::uint64_t bytes;
  };

  void make();
  void choose_backend();
  void* allocate_plain(std::uint64_t bytes, std::int32_t device);
  bool free_plain(void* address) noexcept;
  void free_late() noexcept;
  lull_transfer_options transfer_options(const lull_sleep_plan* plan);
  void restore(const std::vector<std::string>& tags, lull_report** report);
  void expect_suspendable();
  void suspend(bool fallback, lull_report** report);
  void resume(lull_report** report);
  std::vector<std::string> tags_on_devices(const lull_eviction_plan& plan);
  std::vector<lull_region_info> regions();
  std::vector<lull_device*> devices_in_use();

  std::mutex making_;              ///< of what follows, which stays when it is there
  std::set<std::string> names_;    ///< handed out, and so kept
  const char* backend_ = nullptr;  ///< one of them
  std::atomic<lull_allocator*> allocator_ = nullptr;  ///< the last to be made
  lull_registry* registry_ = nullptr;
  lull_arena* arena_ = nullptr;
  lull_memory* memory_ = nullptr;

  std::mutex transition_;  ///< one at a time
  /// Shared by allocations, held alone for the moment in which tags fall asleep: what was allocated
  /// before is there to be taken off, and nothing is allocated afterwards.
  mutable std::shared_mutex gate_;
  sleeping_tags asleep_;
  lull_sleeper* suspended_by_ = nullptr;  ///< what has suspended the process; written under gate_

  std::mutex addresses_mutex_;
  std::set<void*> addresses_;  ///< of regions

  mutable std::mutex plain_mutex_;
  std::map<void*, plain> plain_;
  std::vector<std::pair<void*, plain>> late_;  ///< freed while the device could not be asked

  std::atomic<bool> moving_ = false;
  std::atomic<std::uint64_t> done_bytes_ = 0;
  std::atomic<std::uint64_t> total_bytes_ = 0;
};

}  // namespace lull_torch

#endif  // LULL_ADAPTERS_TORCH_SPACE_HPP
