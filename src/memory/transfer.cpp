#include "memory/transfer.hpp"

#include <lull/bytes.hpp>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "memory/source_file.hpp"
#include "report/step_timer.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/round_up.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

bool leaves_with_backup(const transfer::job& what) noexcept {
  return what.action == contents_action::offload && !what.coming;
}

thread_local const memory_state* working_for = nullptr;

}  // namespace

transfer_thread::transfer_thread(const memory_state& of) noexcept
    : before_(std::exchange(working_for, &of)) {}

transfer_thread::~transfer_thread() {
  working_for = before_;
}

bool transfer_thread::works_for(const memory_state& which) noexcept {
  return working_for == &which;
}

transfer::transfer(memory_state& memory, const transfer_options& options, std::vector<job> jobs,
                   std::shared_ptr<departure> during)
    : state_(memory),
      during_(std::move(during)),
      memory_(memory.options),
      options_(options),
      jobs_(std::move(jobs)),
      started_(memory.options.clock->now()) {
  for (const job& each : jobs_) {
    const device& where = each.region->where;
    if (std::find(devices_.begin(), devices_.end(), where) != devices_.end()) continue;
    devices_.push_back(where);
    report_.devices.emplace_back().device = where.name();
  }
  find_homes();
}

void transfer::find_homes() {
  std::unordered_map<const extent*, std::size_t> known;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    extent* const place = jobs_[i].region->home.get();
    const auto [entry, is_new] = known.emplace(place, homes_.size());
    if (is_new) homes_.push_back({place, place->is_mapped(), false, jobs_[i].coming, {}});
    home& in = homes_[entry->second];
    in.offloads = in.offloads || jobs_[i].action == contents_action::offload;
    in.jobs.push_back(i);
  }
}

void transfer::measure(memory_info device_report::*when) {
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    try {
      report_.devices[i].*when = devices_[i].memory();
    } catch (...) {
      // A transfer does not fail because it cannot be measured: its figures are unknown then.
      memory_.log.write(log_level::warning, current_error(status::internal).what());
    }
  }
}

void transfer::step(std::string_view name, const std::function<std::uint64_t()>& work) {
  step_timer timer(report_.steps, *memory_.clock, name);
  timer.set_bytes(work());
}

transfer_report transfer::take_report() {
  measure(&device_report::after);
  report_.elapsed = memory_.clock->now() - started_;
  return std::move(report_);
}

void transfer::note_moves() noexcept {
  for (const job& each : jobs_) {
    const region_state& region = *each.region;
    if (!is_on_device(each.after) || !region.has_moved()) continue;
    try {
      report_for(region).moved.push_back(
          {region.options.name, region.address, region.place(), region.size_bytes});
    } catch (const std::bad_alloc&) {
      memory_.log.write(log_level::warning, "no memory to report that a region has moved");
    }
  }
}

// --- off the device
// ---------------------------------------------------------------------------------

void transfer::evict() {
  measure(&device_report::before);
  for (const device& each : devices_) each.synchronize();
  total_bytes_ = bytes_with(contents_action::offload);
  try {
    if (total_bytes_ != 0) {
      obtain_backing();
      step("back up", [this] { return back_up(); });
    }
  } catch (...) {
    drop_backups(false);
    throw;
  }
  try {
    // What is backed up goes first: as long as nothing has been discarded all can be taken back.
    step("unmap", [this] { return unmap(true) + unmap(false); });
  } catch (...) {
    undo_eviction(current_error(status::internal));
  }
}

void transfer::obtain_backing() {
  for (const device& from : devices_) {
    std::uint64_t bytes = 0;
    for (const job& each : jobs_) {
      if (!leaves_with_backup(each) || !(each.region->where == from)) continue;
      bytes += round_up(each.region->size_bytes, backing_alignment);
    }
    if (bytes == 0) continue;
    const auto space = backing::obtain(options_.backing, bytes, from,
                                       gains_from_pinning(from) ? state_.arena : nullptr);
    std::uint64_t offset = 0;
    for (const job& each : jobs_) {
      if (!leaves_with_backup(each) || !(each.region->where == from)) continue;
      each.region->saved = backup(space, offset, each.region->size_bytes);
      each.region->sum_out = 0;
      offset += round_up(each.region->size_bytes, backing_alignment);
    }
  }
}

std::uint64_t transfer::back_up() {
  std::vector<std::size_t> numbers;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    if (jobs_[i].action == contents_action::offload) numbers.push_back(i);
  }
  move(way::out, numbers);
  for (const std::size_t i : numbers) jobs_[i].region->saved.place().complete();
  return total_bytes_;
}

std::uint64_t transfer::unmap(bool offloaded) {
  std::uint64_t bytes = 0;
  for (const home& each : homes_) {
    if (each.offloads != offloaded) continue;
    take_off(each);
    bytes += each.place->size_bytes;
  }
  return bytes;
}

void transfer::take_off(const home& which) {
  for (extent::part& each : which.place->parts) take_off(which, each);
}

void transfer::take_off(const home& which, extent::part& part) {
  which.place->unmap(part);
  if (!which.place->has_mapped()) {
    for (const std::size_t i : which.jobs) {
      job& gone = jobs_[i];
      const bool kept = gone.action == contents_action::offload;
      gone.after = kept ? residency::offloaded : residency::discarded;
      if (kept) continue;
      const std::lock_guard lock(progress_mutex_);
      report_for(*gone.region).discarded_bytes += gone.region->size_bytes;
    }
  }
  which.place->free_memory(part);
}

/// Brings back what an eviction that failed has taken off already, and throws.
void transfer::undo_eviction(const error& cause) {
  undoing_ = true;
  std::string lost;
  filled_.assign(jobs_.size(), residency::unfilled);
  for (const home& each : homes_) {
    if (each.place->is_mapped() || each.coming) continue;
    try {
      bring_back(each);
      for (const std::size_t i : each.jobs) {
        job& back = jobs_[i];
        const residency before = back.region->contents;
        back.after = filled_[i];
        if (back.after == before) continue;
        lost +=
            text("; {} comes back unfilled, for nothing writes it again", back.region->describe());
      }
    } catch (...) {
      const std::string why = current_error(status::internal).what();
      for (const std::size_t i : each.jobs) {
        job& off = jobs_[i];
        if (is_on_device(off.after) && !each.place->is_mapped()) off.after = residency::discarded;
        lost += text("; {} stays {}: {}", off.region->describe(), to_string(off.after), why);
      }
    }
  }
  for (const job& each : jobs_) {
    if (is_on_device(each.after)) each.region->saved.drop();
  }
  if (lost.empty()) throw cause;
  report_.rolled_back = false;
  throw error(cause.code(), text("{}; taking it back failed too{}", cause.what(), lost));
}

/// Puts the parts of an extent back that are off. Where that fails and some parts never left, these
/// go too, so that every region of it is whole somewhere.
void transfer::bring_back(const home& which) {
  std::vector<extent::part*> off;
  for (extent::part& each : which.place->parts) {
    if (!each.mapped) off.push_back(&each);
  }
  const bool all_off = off.size() == which.place->parts.size();
  try {
    which.place->reserve();
    which.place->obtain();
    which.place->map();
    if (all_off) {
      move(way::in, which.jobs);
      return;
    }
    crew::share work{which.place->where, 1, {}};
    for (const std::size_t i : which.jobs) {
      if (jobs_[i].action != contents_action::offload) {
        add_fill(work.tasks, i);
        continue;
      }
      for (const extent::part* const each : off) {
        add_copies(work.tasks, i, way::in, of_part(i, *each));
      }
      filled_[i] = residency::resident;
    }
    run({std::move(work)});
  } catch (...) {
    const error cause = current_error(status::internal);
    leave_off(which, off);
    throw cause;
  }
}

/// Takes off what is left of an extent that cannot be brought back.
/// @param off the parts whose contents are backed up already
void transfer::leave_off(const home& which, const std::vector<extent::part*>& off) noexcept {
  bool whole = true;
  try {
    crew::share work{which.place->where, 1, {}};
    for (const extent::part& each : which.place->parts) {
      if (std::find(off.begin(), off.end(), &each) != off.end()) continue;
      for (const std::size_t i : which.jobs) {
        if (jobs_[i].action != contents_action::offload) continue;
        add_copies(work.tasks, i, way::out, of_part(i, each));
      }
    }
    if (!work.tasks.empty()) run({std::move(work)});
  } catch (...) {
    whole = false;
  }
  for (const std::size_t i : which.jobs) {
    const bool kept = whole && jobs_[i].action == contents_action::offload;
    jobs_[i].after = kept ? residency::offloaded : residency::discarded;
  }
  try {
    which.place->unmap();
    which.place->free_memory();
  } catch (...) {
    // What stays there is used by the next restore.
    memory_.log.write(log_level::error, current_error(status::internal).what());
  }
}

void transfer::drop_backups(bool coming) noexcept {
  for (const job& each : jobs_) {
    if (each.coming == coming) each.region->saved.retire();
  }
  for (const job& each : jobs_) {
    if (each.coming == coming) each.region->saved.drop();
  }
}

// --- back on the device
// -----------------------------------------------------------------------------

void transfer::restore() {
  measure(&device_report::before);
  for (const job& each : jobs_) {
    const bool moves = each.action == contents_action::offload || comes_back(*each.region);
    if (moves) total_bytes_ += each.region->size_bytes;
  }
  verify_sources();
  try {
    step("obtain", [this] {
      for (const home& each : homes_) each.place->reserve();
      for (const home& each : homes_) each.place->obtain();
      return std::uint64_t{0};
    });
    step("map", [this] {
      for (const home& each : homes_) each.place->map();
      return std::uint64_t{0};
    });
    step("fill", [this] { return fill_all(); });
  } catch (...) {
    const error cause = current_error(status::internal);
    take_memory_back();
    throw with_what_is_missing(cause);
  }
  drop_backups(false);
}

void transfer::load() {
  verify_sources();
  static_cast<void>(fill_all());
}

/// A file that is not what it was is found out before anything is touched.
void transfer::verify_sources() const {
  std::unordered_set<const source_file*> looked_at;
  for (const job& each : jobs_) {
    if (each.action != contents_action::discard || !each.region->options.source) continue;
    const file_source& file = each.region->options.source->file;
    if (!looked_at.insert(&source_access::file(file)).second) continue;
    file.verify();
    source_access::file(file).choose_way();
  }
}

std::uint64_t transfer::fill_all() {
  filled_.assign(jobs_.size(), residency::unfilled);
  std::vector<std::size_t> numbers;
  for (std::size_t i = 0; i < jobs_.size(); ++i) numbers.push_back(i);
  move(way::in, numbers);
  verify_sources();  // or some of it may have been of another file
  for (std::size_t i = 0; i < jobs_.size(); ++i) jobs_[i].after = filled_[i];
  return done_bytes_;
}

/// Undoes a restore that failed. What stays mapped by a second failure is used by the next restore.
void transfer::take_memory_back() noexcept {
  for (const home& each : homes_) {
    if (each.was_mapped) continue;
    try {
      each.place->unmap();
      each.place->free_memory();
    } catch (...) {
      report_.rolled_back = false;
      memory_.log.write(log_level::error, current_error(status::internal).what());
    }
  }
}

error transfer::with_what_is_missing(const error& cause) const {
  if (cause.code() != status::out_of_device_memory) return cause;
  for (const device& each : devices_) {
    if (each.name() != cause.device()) continue;
    std::uint64_t needed = 0;
    for (const home& one : homes_) {
      if (one.was_mapped) continue;
      if (one.place->where == each) needed += one.place->size_bytes - one.place->obtained_bytes();
    }
    const auto free = each.memory().free_bytes;
    if (!free || *free >= needed) return cause;
    return cause.with_context(text("restoring needs {} on {}, {} are free: {} missing",
                                   format_bytes(needed), each.name(), format_bytes(*free),
                                   format_bytes(needed - *free)));
  }
  return cause;
}

// --- books
// ------------------------------------------------------------------------------------------

std::size_t transfer::number_of(const device& which) const {
  return static_cast<std::size_t>(std::find(devices_.begin(), devices_.end(), which) -
                                  devices_.begin());
}

device_report& transfer::report_for(const region_state& region) {
  return report_.devices[number_of(region.where)];
}

std::uint64_t transfer::bytes_with(contents_action action) const {
  std::uint64_t bytes = 0;
  for (const job& each : jobs_) {
    if (each.action == action) bytes += each.region->size_bytes;
  }
  return bytes;
}

}  // namespace lull::detail
