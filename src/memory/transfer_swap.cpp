#include <algorithm>
#include <condition_variable>
#include <deque>
#include <memory>
#include <utility>

#include "memory/departure.hpp"
#include "memory/transfer.hpp"
#include "vocabulary/current_error.hpp"

namespace lull::detail {

/// What those that leave a device and those that come to it tell each other.
struct transfer::swap_room {
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t freed = 0;        ///< how often something was
  std::size_t still_leaving = 0;  ///< of the parts of extents
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
  for (const device& each : devices_) {
    const bool is_left = std::any_of(jobs_.begin(), jobs_.end(), [&](const job& one) {
      return !one.coming && one.region->where == each;
    });
    if (is_left) each.synchronize();
  }
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
    verify_sources();
    if (comes_during_departure()) await_departure();
  } catch (...) {
    const error cause = current_error(status::internal);
    take_memory_back();
    const error told = with_what_is_missing(cause);
    // What has come in the room that was made has to go first.
    if (during_ && !comes_during_departure()) during_->call_off();
    undo_eviction(told);
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

bool transfer::comes_during_departure() const {
  return during_ &&
         std::any_of(jobs_.begin(), jobs_.end(), [](const job& each) { return each.coming; });
}

/// Others leave for it; until they have, they may have to go back.
void transfer::await_departure() {
  const auto give_up = [this] { return options_.stop.stop_requested(); };
  if (during_->wait_for_end(give_up)) return;
  throw error(status::cancelled, "what was to make room for it did not leave");
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
        room.still_leaving += each.place->parts.size();
        if (!offloaded) continue;
        out_bytes += each.place->size_bytes;
        out_ready = out_ready && are_ready(each);
      }
    }
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

/// A part of the extent is taken off as soon as its last byte has arrived, while the copies of the
/// next are under way.
void transfer::leave(courier& with, const home& which, swap_room& room) {
  for (extent::part& part : which.place->parts) {
    std::vector<crew::task> copies;
    const auto left = std::make_shared<std::size_t>(0);
    const auto arrived = [this, &which, &part, &room, left] {
      if (--*left != 0) return;
      take_off(which, part);
      if (during_) during_->tell_freed();
      room.one_has_left();
    };
    for (const std::size_t i : which.jobs) {
      if (jobs_[i].action != contents_action::offload) continue;
      stretch here = of_part(i, part);
      here.then = arrived;
      *left += add_copies(copies, i, way::out, here);
    }
    for (const crew::task& each : copies) each(with);
    if (copies.empty()) {
      *left = 1;
      arrived();
    }
  }
}

/// @return whether there is; else another thread has failed, and has told why
bool transfer::obtain_when_there_is_room(extent& place, extent::part& part, swap_room& room) const {
  while (true) {
    const std::uint64_t freed = room.freed_so_far();
    const std::uint64_t freed_by_others = during_ ? during_->freed_so_far() : 0;
    try {
      place.obtain(part);
      return true;
    } catch (const error& failure) {
      if (failure.code() != status::out_of_device_memory) throw;
      if (room.wait_for_more(freed)) continue;
      if (room.has_failed()) return false;
      const auto give_up = [&] { return room.has_failed() || options_.stop.stop_requested(); };
      if (during_ && during_->wait_for_more(freed_by_others, give_up)) continue;
      if (room.has_failed()) return false;
      throw;
    }
  }
}

void transfer::arrive(courier& with, const home& which, swap_room& room) {
  const auto is_backed_up = [this](std::size_t i) {
    return jobs_[i].action == contents_action::offload;
  };
  // A callback writes all of its region, wherever that is.
  const bool by_part = std::all_of(which.jobs.begin(), which.jobs.end(), is_backed_up);
  which.place->reserve();
  for (extent::part& part : which.place->parts) {
    if (!obtain_when_there_is_room(*which.place, part, room)) return;
    which.place->map(part);
    if (!by_part) continue;
    for (const std::size_t i : which.jobs) {
      std::vector<crew::task> copies;
      add_copies(copies, i, way::in, of_part(i, part));
      filled_[i] = residency::resident;
      for (const crew::task& each : copies) each(with);
    }
  }
  if (by_part) return;
  for (const std::size_t i : which.jobs) {
    std::vector<crew::task> work;
    add_fill(work, i);
    for (const crew::task& each : work) each(with);
  }
}

}  // namespace lull::detail
