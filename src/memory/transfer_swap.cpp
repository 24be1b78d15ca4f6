#include <algorithm>
#include <condition_variable>
#include <deque>
#include <utility>

#include "memory/transfer.hpp"
#include "vocabulary/current_error.hpp"

namespace lull::detail {

/// What those that leave a device and those that come to it tell each other.
struct transfer::swap_room {
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t freed = 0;        ///< how often something was
  std::size_t still_leaving = 0;  ///< of the extents
  bool failed = false;

  [[nodiscard]] std::uint64_t freed_so_far() {
    const std::lock_guard lock(mutex);
    return freed;
  }
  /// Waits until something was freed since. @return whether it was, and all is well
  [[nodiscard]] bool wait_for_more(std::uint64_t since) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return freed != since || still_leaving == 0 || failed; });
    return freed != since && !failed;
  }
  [[nodiscard]] bool has_failed() {
    const std::lock_guard lock(mutex);
    return failed;
  }
  void one_has_left() {
    const std::lock_guard lock(mutex);
    ++freed;
    --still_leaving;
    changed.notify_all();
  }
  void fail() {
    const std::lock_guard lock(mutex);
    failed = true;
    changed.notify_all();
  }
};

/// Both directions of the link at once: what leaves is copied out, extent by extent, and unmapped
/// at once, which makes room for what comes. Nothing is given up for good before all has succeeded.
void transfer::swap() {
  measure(&device_report::before);
  for (const device& each : devices_) each.synchronize();
  for (const job& each : jobs_) {
    const bool moves =
        each.action == contents_action::offload || (each.coming && comes_back(*each.region));
    if (moves) total_bytes_ += each.region->size_bytes;
  }
  verify_sources();
  filled_.assign(jobs_.size(), residency::unfilled);
  try {
    obtain_backing();
  } catch (...) {
    drop_backups(false);
    throw;
  }
  try {
    step("swap", [this] { return swap_all(); });
  } catch (...) {
    const error cause = current_error(status::internal);
    take_memory_back();
    undo_eviction(with_what_is_missing(cause));
  }
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    job& each = jobs_[i];
    if (each.coming) {
      each.after = filled_[i];
    } else if (each.action == contents_action::offload) {
      each.region->saved.place().complete();
    }
  }
  drop_backups(true);
}

bool transfer::are_ready(const home& which) const {
  return std::all_of(which.jobs.begin(), which.jobs.end(),
                     [this](std::size_t i) { return is_ready(jobs_[i]); });
}

std::uint64_t transfer::swap_all() {
  std::deque<swap_room> rooms(devices_.size());
  std::vector<crew::share> shares;
  for (std::size_t number = 0; number < devices_.size(); ++number) {
    swap_room& room = rooms[number];
    crew::share out{devices_[number], 1, {}};
    crew::share in{devices_[number], 1, {}};
    std::uint64_t out_bytes = 0;
    std::uint64_t in_bytes = 0;
    bool out_ready = true;
    bool in_ready = true;
    // What is discarded goes last: it is the only thing that a copy does not bring back.
    for (const bool offloaded : {true, false}) {
      for (const home& each : homes_) {
        const bool here = each.place->where == devices_[number];
        if (!here || each.coming || each.offloads != offloaded) continue;
        out.tasks.emplace_back([this, &each, &room](courier& with) { leave(with, each, room); });
        if (!offloaded) continue;
        out_bytes += each.place->size_bytes;
        out_ready = out_ready && are_ready(each);
      }
    }
    room.still_leaving = out.tasks.size();
    for (const home& each : homes_) {
      if (!each.coming || !(each.place->where == devices_[number])) continue;
      in.tasks.emplace_back([this, &each, &room](courier& with) { arrive(with, each, room); });
      in_bytes += each.place->size_bytes;
      in_ready = in_ready && are_ready(each);
    }
    // Those that leave come first: were there no threads, room would be made before it is asked
    // for.
    if (!out.tasks.empty()) {
      out.couriers = couriers_for(out.tasks.size(), out_bytes, out_ready);
      shares.push_back(std::move(out));
    }
    if (!in.tasks.empty()) {
      in.couriers = couriers_for(in.tasks.size(), in_bytes, in_ready);
      shares.push_back(std::move(in));
    }
  }
  std::vector<std::size_t> coming;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    if (!jobs_[i].coming) continue;
    jobs_[i].region->sum_in = 0;
    coming.push_back(i);
  }
  run(shares, [&rooms] {
    for (swap_room& each : rooms) each.fail();
  });
  verify_checksums(coming);
  return done_bytes_;
}

void transfer::leave(courier& with, const home& which, swap_room& room) {
  for (const std::size_t i : which.jobs) {
    if (jobs_[i].action != contents_action::offload) continue;
    std::vector<crew::task> copies;
    add_copies(copies, i, way::out);
    for (const crew::task& each : copies) each(with);
  }
  with.drain();
  take_off(which);
  room.one_has_left();
}

void transfer::arrive(courier& with, const home& which, swap_room& room) {
  while (true) {
    const std::uint64_t freed = room.freed_so_far();
    try {
      which.place->obtain();
      break;
    } catch (const error& failure) {
      if (failure.code() != status::out_of_device_memory) throw;
      if (!room.wait_for_more(freed)) {
        if (room.has_failed()) return;  // what failed is told already
        throw;
      }
    }
  }
  which.place->map();
  for (const std::size_t i : which.jobs) {
    std::vector<crew::task> work;
    add_fill(work, i);
    for (const crew::task& each : work) each(with);
  }
}

}  // namespace lull::detail
