#include "memory/transfer.hpp"

#include <lull/bytes.hpp>

#include <algorithm>
#include <utility>

#include "report/step_timer.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

std::uint64_t round_up(std::uint64_t bytes, std::uint64_t granularity) noexcept {
  return (bytes + granularity - 1) / granularity * granularity;
}

}  // namespace

transfer::transfer(const memory_options& memory, const transfer_options& options,
                   std::vector<job> jobs)
    : memory_(memory), options_(options), jobs_(std::move(jobs)), started_(memory.clock->now()) {
  for (const job& each : jobs_) {
    const device& where = each.region->where;
    if (std::find(devices_.begin(), devices_.end(), where) != devices_.end()) continue;
    devices_.push_back(where);
    report_.devices.emplace_back().device = where.name();
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

void transfer::evict() {
  measure(&device_report::before);
  for (const device& each : devices_) each.synchronize();
  total_bytes_ = bytes_with(contents_action::offload);
  try {
    if (total_bytes_ != 0) step("back up", [this] { return back_up(); });
  } catch (...) {
    drop_backups();
    throw;
  }
  try {
    // What is backed up goes first: as long as nothing has been discarded all can be taken back.
    step("unmap",
         [this] { return unmap(contents_action::offload) + unmap(contents_action::discard); });
  } catch (...) {
    undo_eviction(current_error(status::internal));
  }
}

void transfer::obtain_backing(std::uint64_t bytes) {
  const auto space = backing::obtain(options_.backing, bytes);
  std::uint64_t offset = 0;
  for (const job& each : jobs_) {
    if (each.action != contents_action::offload) continue;
    each.region->saved = backup(space, offset, each.region->size_bytes);
    offset += round_up(each.region->size_bytes, backing_alignment);
  }
}

std::uint64_t transfer::back_up() {
  std::uint64_t space = 0;
  for (const job& each : jobs_) {
    if (each.action == contents_action::offload) {
      space += round_up(each.region->size_bytes, backing_alignment);
    }
  }
  obtain_backing(space);
  for (const job& each : jobs_) {
    if (each.action == contents_action::offload) copy_out(*each.region);
  }
  return total_bytes_;
}

std::uint64_t transfer::unmap(contents_action action) {
  std::uint64_t bytes = 0;
  for (job& each : jobs_) {
    if (each.action != action) continue;
    each.region->unmap();
    each.after = action == contents_action::offload ? residency::offloaded : residency::discarded;
    each.region->give_up();
    bytes += each.region->mapped_bytes;
    if (action == contents_action::discard) {
      report_for(*each.region).discarded_bytes += each.region->size_bytes;
    }
  }
  return bytes;
}

/// Brings back what an eviction that failed has taken off already, and throws.
void transfer::undo_eviction(const error& cause) {
  undoing_ = true;
  std::string lost;
  for (job& each : jobs_) {
    if (each.region->mapped) continue;
    try {
      each.region->obtain();
      each.region->map();
      const residency before = each.region->contents;
      each.after = fill(each);
      if (each.after != before) {
        lost += text("; {} comes back unfilled, for it has no refill callback",
                     each.region->describe());
      }
    } catch (...) {
      lost += text("; {} stays {}: {}", each.region->describe(), to_string(each.after),
                   current_error(status::internal).what());
    }
  }
  for (const job& each : jobs_) {
    if (each.region->mapped) each.region->saved.drop();
  }
  if (lost.empty()) throw cause;
  throw error(cause.code(), text("{}; taking it back failed too{}", cause.what(), lost));
}

void transfer::drop_backups() noexcept {
  for (const job& each : jobs_) each.region->saved.retire();
  for (const job& each : jobs_) each.region->saved.drop();
}

void transfer::restore() {
  measure(&device_report::before);
  for (const job& each : jobs_) {
    const bool moves = each.action == contents_action::offload || each.region->options.refill;
    if (moves) total_bytes_ += each.region->size_bytes;
  }
  try {
    step("obtain", [this] {
      for (const job& each : jobs_) each.region->obtain();
      return std::uint64_t{0};
    });
    step("map", [this] {
      for (const job& each : jobs_) each.region->map();
      return std::uint64_t{0};
    });
    step("fill", [this] { return fill_all(); });
  } catch (...) {
    const error cause = current_error(status::internal);
    take_memory_back();
    throw with_what_is_missing(cause);
  }
  drop_backups();
}

std::uint64_t transfer::fill_all() {
  std::vector<residency> filled;
  filled.reserve(jobs_.size());
  for (const job& each : jobs_) filled.push_back(fill(each));
  for (std::size_t i = 0; i < jobs_.size(); ++i) jobs_[i].after = filled[i];
  return done_bytes_;
}

/// Undoes a restore that failed. What stays mapped by a second failure is used by the next restore.
void transfer::take_memory_back() noexcept {
  for (const job& each : jobs_) {
    try {
      each.region->unmap();
      each.region->give_up();
    } catch (...) {
      memory_.log.write(log_level::error, current_error(status::internal).what());
    }
  }
}

error transfer::with_what_is_missing(const error& cause) const {
  if (cause.code() != status::out_of_device_memory) return cause;
  for (const device& each : devices_) {
    if (each.name() != cause.device()) continue;
    std::uint64_t needed = 0;
    for (const job& one : jobs_) {
      if (one.region->where == each && !one.region->physical) needed += one.region->mapped_bytes;
    }
    const auto free = each.memory().free_bytes;
    if (!free || *free >= needed) return cause;
    return cause.with_context(text("restoring needs {} on {}, {} are free: {} missing",
                                   format_bytes(needed), each.name(), format_bytes(*free),
                                   format_bytes(needed - *free)));
  }
  return cause;
}

/// Calls `move(offset, bytes)` for every chunk of a region.
template <class Move>
static void for_each_chunk(const region_state& region, std::uint64_t chunk_bytes, Move move) {
  for (std::uint64_t offset = 0; offset < region.size_bytes; offset += chunk_bytes) {
    move(offset, std::min(chunk_bytes, region.size_bytes - offset));
  }
}

void transfer::copy_out(const region_state& region) {
  const device& from = region.where;
  backing& to = region.saved.where();
  for_each_chunk(region, memory_.chunk_bytes, [&](std::uint64_t offset, std::uint64_t bytes) {
    const auto* const source = static_cast<const std::byte*>(region.address) + offset;
    const std::uint64_t at = region.saved.offset() + offset;
    if (std::byte* const direct = to.address(at)) {
      from.copy_to_host(direct, source, bytes);
    } else if (from.supports(capability::host_accessible)) {
      to.write(at, source, bytes);
    } else {
      from.copy_to_host(staging(), source, bytes);
      to.write(at, staging(), bytes);
    }
    report_for(region).copied_bytes += bytes;
    advance(region, bytes);
  });
}

void transfer::copy_in(const region_state& region) {
  const device& to = region.where;
  const backing& from = region.saved.where();
  for_each_chunk(region, memory_.chunk_bytes, [&](std::uint64_t offset, std::uint64_t bytes) {
    auto* const target = static_cast<std::byte*>(region.address) + offset;
    const std::uint64_t at = region.saved.offset() + offset;
    if (const std::byte* const direct = from.address(at)) {
      to.copy_from_host(target, direct, bytes);
    } else if (to.supports(capability::host_accessible)) {
      from.read(at, target, bytes);
    } else {
      from.read(at, staging(), bytes);
      to.copy_from_host(target, staging(), bytes);
    }
    report_for(region).copied_bytes += bytes;
    advance(region, bytes);
  });
}

/// Writes the contents of a region whose memory is there, as far as anybody can.
residency transfer::fill(const job& what) {
  const region_state& region = *what.region;
  if (what.action == contents_action::offload) {
    copy_in(region);
    return residency::resident;
  }
  if (region.options.refill) {
    run_refill(region, region.options.refill);
    report_for(region).refilled_bytes += region.size_bytes;
    advance(region, region.size_bytes);
    return residency::resident;
  }
  if (memory_.poison_unfilled) region.where.fill(region.address, poison_byte, region.size_bytes);
  return residency::unfilled;
}

void transfer::advance(const region_state& region, std::uint64_t bytes) {
  if (undoing_) return;
  done_bytes_ += bytes;
  if (options_.progress) {
    try {
      options_.progress({region.options.name, done_bytes_, total_bytes_});
    } catch (...) {
      fail(status::callback, "progress callback: {}", current_error(status::callback).what());
    }
  }
  if (options_.stop.stop_requested()) {
    fail(status::cancelled, "cancelled after {} of {}", format_bytes(done_bytes_),
         format_bytes(total_bytes_));
  }
}

std::byte* transfer::staging() {
  if (!staging_) staging_ = std::make_unique_for_overwrite<std::byte[]>(memory_.chunk_bytes);
  return staging_.get();
}

device_report& transfer::report_for(const region_state& region) {
  const auto at = std::find(devices_.begin(), devices_.end(), region.where);
  return report_.devices[static_cast<std::size_t>(at - devices_.begin())];
}

std::uint64_t transfer::bytes_with(contents_action action) const {
  std::uint64_t bytes = 0;
  for (const job& each : jobs_) {
    if (each.action == action) bytes += each.region->size_bytes;
  }
  return bytes;
}

}  // namespace lull::detail
