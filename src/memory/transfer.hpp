#ifndef LULL_MEMORY_TRANSFER_HPP
#define LULL_MEMORY_TRANSFER_HPP

#include <lull/error.hpp>
#include <lull/memory.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "memory/crew.hpp"
#include "memory/region_state.hpp"

namespace lull::detail {

class departure;

/// Marks the threads that work for a transfer, whose callbacks must not start another one.
class transfer_thread {
 public:
  explicit transfer_thread(const memory_state& of) noexcept;
  ~transfer_thread();
  transfer_thread(const transfer_thread&) = delete;
  transfer_thread& operator=(const transfer_thread&) = delete;

  [[nodiscard]] static bool works_for(const memory_state& which) noexcept;

 private:
  const memory_state* before_;
};

/// One transaction over a set of regions. The regions are `moving`: nobody else touches them and
/// their extents. Afterwards `job::after` says, also when it failed, where the contents of each
/// are.
class transfer {
 public:
  struct job {
    std::shared_ptr<region_state> region;
    contents_action action;  ///< offload: through the backup; discard: without one
    residency after;         ///< to begin with, where the contents are now
    bool coming = false;     ///< in a swap: back on the device, while others leave
  };

  /// @param during in which it leaves or comes; null: by itself
  transfer(memory_state& memory, const transfer_options& options, std::vector<job> jobs,
           std::shared_ptr<departure> during = nullptr);

  /// Backs up, then unmaps. @throws error; see memory::evict
  void evict();
  /// Obtains and maps, then copies and refills. @throws error; see memory::restore
  void restore();
  /// Both at once. @throws error; see memory::swap
  void swap();
  /// Fills regions that are mapped and new. @throws error
  void load();

  [[nodiscard]] const std::vector<job>& jobs() const noexcept { return jobs_; }
  /// Reports the regions whose addresses a reset has lost, and which are somewhere else now.
  void note_moves() noexcept;
  [[nodiscard]] transfer_report take_report();

 private:
  /// An extent of the regions, and what there was of it in the beginning: all or nothing.
  struct home {
    extent* place = nullptr;
    bool was_mapped = false;
    bool offloads = false;  ///< something in it is backed up
    bool coming = false;
    std::vector<std::size_t> jobs;
  };

  void find_homes();
  void measure(memory_info device_report::*when);
  void step(std::string_view name, const std::function<std::uint64_t()>& work);

  void obtain_backing();
  [[nodiscard]] std::uint64_t back_up();
  [[nodiscard]] std::uint64_t unmap(bool offloaded);
  [[noreturn]] void undo_eviction(const error& cause);
  void bring_back(const home& which);
  void leave_off(const home& which, const std::vector<extent::part*>& off) noexcept;
  void drop_backups(bool coming) noexcept;
  void take_off(const home& which);
  void take_off(const home& which, extent::part& part);

  [[nodiscard]] std::uint64_t fill_all();
  void take_memory_back() noexcept;
  [[nodiscard]] error with_what_is_missing(const error& cause) const;

  // transfer_copy.cpp: what moves the bytes, on all devices at once.
  enum class way : std::uint8_t { out, in };
  void move(way which, const std::vector<std::size_t>& numbers);
  void run(const std::vector<crew::share>& shares, std::function<void()> on_failure = {});
  [[nodiscard]] bool is_ready(const job& what) const;
  /// A stretch of a region, and what there is to do whenever a chunk of it has arrived.
  struct stretch {
    std::uint64_t begin = 0;
    std::uint64_t end = UINT64_MAX;
    std::function<void()> then = {};
  };
  /// @return how many chunks these are
  std::size_t add_copies(std::vector<crew::task>& to, std::size_t number, way which, stretch of);
  [[nodiscard]] stretch of_part(std::size_t number, const extent::part& part) const;
  void add_fill(std::vector<crew::task>& to, std::size_t number);
  void copy(courier& with, const job& what, std::uint64_t offset, std::uint64_t bytes, way which,
            const std::function<void()>& then);
  void add_pieces(std::vector<crew::task>& to, std::size_t number);
  void read(courier& with, const region_state& region, const file_piece& piece, bool begins);
  void refill(courier& with, std::size_t number);
  void verify_checksums(const std::vector<std::size_t>& numbers) const;
  void verify_sources() const;
  [[nodiscard]] unsigned most_threads() const;
  [[nodiscard]] unsigned couriers_for(std::size_t tasks, std::uint64_t bytes, bool all_ready) const;
  void advance(const region_state& region, std::uint64_t bytes,
               std::uint64_t device_report::*counted);

  // transfer_swap.cpp
  struct swap_room;
  [[nodiscard]] bool comes_during_departure() const;
  void await_departure();
  [[nodiscard]] bool are_ready(const home& which) const;
  [[nodiscard]] std::uint64_t swap_all();
  void leave(courier& with, const home& which, swap_room& room);
  void arrive(courier& with, const home& which, swap_room& room);
  [[nodiscard]] bool obtain_when_there_is_room(extent& place, extent::part& part,
                                               swap_room& room) const;

  [[nodiscard]] device_report& report_for(const region_state& region);
  [[nodiscard]] std::size_t number_of(const device& which) const;
  [[nodiscard]] std::uint64_t bytes_with(contents_action action) const;

  memory_state& state_;
  const std::shared_ptr<departure> during_;
  const memory_options& memory_;
  const transfer_options& options_;
  std::vector<job> jobs_;
  std::vector<home> homes_;
  std::vector<device> devices_;  ///< in the order of report_.devices
  transfer_report report_;
  const time_point started_;
  bool undoing_ = false;           ///< a rollback is neither cancelled nor reported as progress
  std::vector<residency> filled_;  ///< by job, while filling

  std::mutex progress_mutex_;  ///< one thread at a time tells how far it is
  std::uint64_t done_bytes_ = 0;
  std::uint64_t total_bytes_ = 0;
  std::mutex alone_;  ///< held by a refill that runs beside no other of its kind
};

}  // namespace lull::detail

#endif  // LULL_MEMORY_TRANSFER_HPP
