#ifndef LULL_MEMORY_TRANSFER_HPP
#define LULL_MEMORY_TRANSFER_HPP

#include <lull/error.hpp>
#include <lull/memory.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "memory/region_state.hpp"

namespace lull::detail {

/// One transaction over a set of regions. The regions are `moving`: nobody else touches their
/// device part. Afterwards `job::after` says, also when it failed, where the contents of each are.
class transfer {
 public:
  struct job {
    std::shared_ptr<region_state> region;
    contents_action action;  ///< offload: through the backup; discard: without one
    residency after;         ///< to begin with, where the contents are now
  };

  transfer(const memory_options& memory, const transfer_options& options, std::vector<job> jobs);

  /// Backs up, then unmaps. @throws error; see memory::evict
  void evict();
  /// Obtains and maps, then copies and refills. @throws error; see memory::restore
  void restore();

  [[nodiscard]] const std::vector<job>& jobs() const noexcept { return jobs_; }
  [[nodiscard]] transfer_report take_report();

 private:
  void measure(memory_info device_report::*when);
  void step(std::string_view name, const std::function<std::uint64_t()>& work);

  void obtain_backing(std::uint64_t bytes);
  [[nodiscard]] std::uint64_t back_up();
  [[nodiscard]] std::uint64_t unmap(contents_action action);
  [[noreturn]] void undo_eviction(const error& cause);
  void drop_backups() noexcept;

  [[nodiscard]] std::uint64_t fill_all();
  void take_memory_back() noexcept;
  [[nodiscard]] error with_what_is_missing(const error& cause) const;

  void copy_out(const region_state& region);
  void copy_in(const region_state& region);
  [[nodiscard]] residency fill(const job& what);
  void advance(const region_state& region, std::uint64_t bytes);
  [[nodiscard]] std::byte* staging();
  [[nodiscard]] device_report& report_for(const region_state& region);
  [[nodiscard]] std::uint64_t bytes_with(contents_action action) const;

  const memory_options& memory_;
  const transfer_options& options_;
  std::vector<job> jobs_;
  std::vector<device> devices_;  ///< in the order of report_.devices
  transfer_report report_;
  const time_point started_;
  bool undoing_ = false;  ///< a rollback is neither cancelled nor reported as progress
  std::uint64_t done_bytes_ = 0;
  std::uint64_t total_bytes_ = 0;
  std::unique_ptr<std::byte[]> staging_;
};

}  // namespace lull::detail

#endif  // LULL_MEMORY_TRANSFER_HPP
