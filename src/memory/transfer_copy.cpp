#include <lull/bytes.hpp>

#include <algorithm>
#include <thread>
#include <utility>

#include "memory/checksum.hpp"
#include "memory/pinning.hpp"
#include "memory/refill.hpp"
#include "memory/source_file.hpp"
#include "memory/transfer.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

/// Below this a thread costs more than it brings.
constexpr std::uint64_t worth_a_thread = std::uint64_t{16} << 20;

/// So many read a cached file faster through staging than its pages can be registered anew: on an
/// H200's host eight reached 51 GB/s and four 30, and registering 40.
constexpr unsigned threads_that_outrun_registering = 6;

std::byte* at(void* address, std::uint64_t offset) noexcept {
  return static_cast<std::byte*>(address) + offset;
}

/// Adds what is shown to it to a region's checksum; nothing where it has none.
courier::sink adding_to(std::atomic<std::uint64_t>& sum, const region_state& region,
                        std::uint64_t begin) {
  if (!region.options.checksum) return {};
  return [&sum, begin](std::uint64_t offset, const std::byte* part, std::uint64_t bytes) {
    sum.fetch_add(checksum_of(begin + offset, part, bytes), std::memory_order_relaxed);
  };
}

}  // namespace

void transfer::move(way which, const std::vector<std::size_t>& numbers) {
  std::vector<crew::share> shares;
  for (const device& where : devices_) {
    crew::share work{where, 1, {}};
    std::uint64_t bytes = 0;
    bool all_ready = true;
    for (const std::size_t number : numbers) {
      const job& each = jobs_[number];
      if (!(each.region->where == where)) continue;
      bytes += each.region->size_bytes;
      all_ready = all_ready && is_ready(each);
      if (which == way::out) {
        add_copies(work.tasks, number, which, {});
      } else {
        add_fill(work.tasks, number);
      }
    }
    if (work.tasks.empty()) continue;
    work.couriers = couriers_for(work.tasks.size(), bytes, all_ready);
    shares.push_back(std::move(work));
  }
  if (which == way::in) {
    for (const std::size_t number : numbers) jobs_[number].region->sum_in = 0;
  }
  run(shares);
  if (which == way::in) verify_checksums(numbers);
}

/// Has a crew do it, and books what it did.
void transfer::run(const std::vector<crew::share>& shares, std::function<void()> on_failure) {
  const auto on_thread = [this](const std::function<void()>& work) {
    const transfer_thread mark(state_);
    work();
  };
  const std::uint64_t refusals = state_.arena->refusals();
  crew all(state_.arena, *memory_.clock, on_thread, std::move(on_failure));
  const time_point begun = memory_.clock->now();
  all.run(shares);
  duration ready_time{};
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const crew::tally& did = all.did(i);
    device_report& into = report_.devices[number_of(shares[i].where)];
    into.staged_bytes += did.staged_bytes;
    if (did.staged_bytes != 0 && gains_from_pinning(shares[i].where)) {
      into.staged_because = state_.arena->refusal_after(refusals);
    }
    ready_time = std::max(ready_time, did.ready_time / std::max(1u, shares[i].couriers));
  }
  // It runs beside the copies; what is told is how long a thread was at it on average.
  if (ready_time != duration::zero() && !undoing_) {
    report_.steps.push_back({"pin", std::min(ready_time, memory_.clock->now() - begun), 0});
  }
}

/// Whether nothing but copies from or to pinned memory is left to do.
bool transfer::is_ready(const job& what) const {
  if (what.action != contents_action::offload) return false;
  const region_state& region = *what.region;
  if (region.options.checksum) return false;  // which takes longer than a copy
  const backing& host = region.saved.place();
  const std::uint64_t step = host.stretch_bytes();
  if (step == 0) return false;
  const std::uint64_t begin = region.saved.offset();
  for (std::uint64_t at = begin; at < begin + region.size_bytes; at += step - at % step) {
    if (!host.is_ready(at, region.where)) return false;
  }
  return true;
}

/// Tasks that write a region's contents, from wherever they are.
void transfer::add_fill(std::vector<crew::task>& to, std::size_t number) {
  const job& what = jobs_[number];
  if (what.action == contents_action::offload) {
    add_copies(to, number, way::in, {});
    filled_[number] = residency::resident;
  } else if (what.region->options.source && !what.region->written) {
    add_pieces(to, number);
  } else {
    to.emplace_back([this, number](courier& with) { refill(with, number); });
  }
}

/// Tasks for a region's contents: chunks, and those of one stretch of the backing together, so that
/// one thread makes it ready and copies while others do the same with the next.
std::size_t transfer::add_copies(std::vector<crew::task>& to, std::size_t number, way which,
                                 stretch of) {
  std::size_t chunks = 0;
  const job& what = jobs_[number];
  const region_state& region = *what.region;
  const backing& host = region.saved.place();
  const std::uint64_t step = host.stretch_bytes();
  const std::uint64_t end = std::min(of.end, region.size_bytes);
  for (std::uint64_t offset = of.begin; offset < end;) {
    const std::uint64_t place = region.saved.offset() + offset;
    std::uint64_t bytes = std::min(memory_.chunk_bytes, end - offset);
    if (step != 0) bytes = std::min(end - offset, step - place % step);
    to.emplace_back([this, &what, offset, bytes, which, then = of.then](courier& with) {
      for (std::uint64_t done = 0; done < bytes; done += memory_.chunk_bytes) {
        copy(with, what, offset + done, std::min(memory_.chunk_bytes, bytes - done), which, then);
      }
    });
    chunks += (bytes + memory_.chunk_bytes - 1) / memory_.chunk_bytes;
    offset += bytes;
  }
  return chunks;
}

/// What of a region lies in a part of its extent; nothing where it ends before it begins.
transfer::stretch transfer::of_part(std::size_t number, const extent::part& part) const {
  const region_state& region = *jobs_[number].region;
  const std::uint64_t begin = std::max(region.offset, part.offset);
  const std::uint64_t end = std::min(region.offset + region.size_bytes, part.offset + part.bytes);
  return {begin - region.offset, std::max(end, begin) - region.offset, {}};
}

void transfer::copy(courier& with, const job& what, std::uint64_t offset, std::uint64_t bytes,
                    way which, const std::function<void()>& then) {
  const region_state& region = *what.region;
  backing& host = region.saved.place();
  const std::uint64_t place = region.saved.offset() + offset;
  const auto done = [this, &region, bytes, then] {
    advance(region, bytes, &device_report::copied_bytes);
    if (then) then();
  };
  if (which == way::out) {
    with.move_out(host, place, at(region.place(), offset), bytes, done,
                  adding_to(what.region->sum_out, region, offset));
  } else {
    with.move_in(host, place, at(region.place(), offset), bytes, done,
                 adding_to(what.region->sum_in, region, offset));
  }
}

/// What came back is what left, as far as somebody wants to know.
/// @throws error io: with the region's name
void transfer::verify_checksums(const std::vector<std::size_t>& numbers) const {
  for (const std::size_t number : numbers) {
    const job& each = jobs_[number];
    const region_state& region = *each.region;
    if (!region.options.checksum || each.action != contents_action::offload) continue;
    if (region.sum_in == region.sum_out) continue;
    lull::detail::fail(status::io,
                       "{}: what came back is not what was offloaded: its bytes changed meanwhile "
                       "(their sum was {} and is {})",
                       region.describe(), hex(region.sum_out.load()), hex(region.sum_in.load()));
  }
}

/// Tasks for a region whose contents are in a file: one for each chunk.
void transfer::add_pieces(std::vector<crew::task>& to, std::size_t number) {
  const region_state& region = *jobs_[number].region;
  std::vector<file_piece> pieces = region.options.source->pieces;
  if (pieces.empty()) pieces.push_back({0, 0, region.size_bytes});
  const bool by_window =
      gains_from_pinning(region.where) && region.where.supports(capability::read_only_registration);
  for (const file_piece& piece : pieces) {
    for (std::uint64_t done = 0; done < piece.bytes;) {
      const std::uint64_t from = piece.file_offset + done;
      // A copy out of the page cache stays within one window of it, and who makes a window ready
      // copies all of it.
      const std::uint64_t window_left =
          source_file::window_bytes - from % source_file::window_bytes;
      const std::uint64_t most =
          by_window ? window_left : std::min(memory_.chunk_bytes, window_left);
      const std::uint64_t bytes = std::min(piece.bytes - done, most);
      const file_piece part{piece.region_offset + done, from, bytes};
      to.emplace_back([this, &region, part](courier& with) {
        std::uint64_t chunk = 0;
        for (std::uint64_t at = 0; at < part.bytes; at += chunk) {
          // From the second chunk on they begin where blocks of the file do.
          const std::uint64_t lead = (part.file_offset + at) % source_file::direct_alignment;
          const std::uint64_t room = std::max(memory_.chunk_bytes - lead, std::uint64_t{1});
          chunk = std::min(room, part.bytes - at);
          read(with, region, {part.region_offset + at, part.file_offset + at, chunk}, at == 0);
        }
      });
      done += bytes;
    }
  }
  filled_[number] = residency::resident;
}

/// @param begins whether it is the first of its window that this courier reads
void transfer::read(courier& with, const region_state& region, const file_piece& piece,
                    bool begins) {
  source_file& file = source_access::file(region.options.source->file);
  std::byte* const target = at(region.place(), piece.region_offset);
  const auto done = [this, &region, bytes = piece.bytes] {
    advance(region, bytes, &device_report::refilled_bytes);
  };
  if (gains_from_pinning(region.where)) {
    const bool may_replace = begins && most_threads() < threads_that_outrun_registering;
    auto cached = file.pinned(piece.file_offset, region.where, state_.arena, may_replace);
    if (!cached && may_replace) {
      // What this courier copied from may be all that is in the way.
      with.drain();
      cached = file.pinned(piece.file_offset, region.where, state_.arena, true);
    }
    if (cached) {
      with.in_pinned(target, cached.get(), piece.bytes, [done, cached] { done(); });
      return;
    }
  }
  const auto read_from = [&file](std::uint64_t begin) {
    return [&file, begin](std::uint64_t offset, std::byte* to, std::uint64_t bytes) {
      file.read(begin + offset, to, bytes);
    };
  };
  // Up to the first whole block by itself, so that the rest may go past the page cache.
  const std::uint64_t past_block = piece.file_offset % source_file::direct_alignment;
  const std::uint64_t lead =
      past_block == 0 ? 0 : std::min(source_file::direct_alignment - past_block, piece.bytes);
  if (lead != 0 && lead < piece.bytes) {
    with.in_staged(target, lead, read_from(piece.file_offset), {});
    with.in_staged(target + lead, piece.bytes - lead, read_from(piece.file_offset + lead), done);
  } else {
    with.in_staged(target, piece.bytes, read_from(piece.file_offset), done);
  }
}

/// Writes the contents of a region whose memory is there, as far as anybody can.
void transfer::refill(courier& with, std::size_t number) {
  const region_state& region = *jobs_[number].region;
  if (!region.refill) {
    if (memory_.poison_unfilled) region.where.fill(region.place(), poison_byte, region.size_bytes);
    return;
  }
  {
    std::unique_lock alone(alone_, std::defer_lock);
    if (region.options.refill_alone) alone.lock();
    run_refill(region, region.refill, with);
  }
  filled_[number] = residency::resident;
  advance(region, region.size_bytes, &device_report::refilled_bytes);
}

unsigned transfer::most_threads() const {
  if (memory_.threads != 0) return memory_.threads;
  return std::clamp(std::thread::hardware_concurrency(), 1u, default_threads);
}

unsigned transfer::couriers_for(std::size_t tasks, std::uint64_t bytes, bool all_ready) const {
  // One fills the link.
  if (all_ready) return 1;
  const std::uint64_t most = std::min<std::uint64_t>(most_threads(), tasks);
  return static_cast<unsigned>(std::clamp<std::uint64_t>(bytes / worth_a_thread, 1, most));
}

void transfer::advance(const region_state& region, std::uint64_t bytes,
                       std::uint64_t device_report::*counted) {
  const std::lock_guard lock(progress_mutex_);
  report_for(region).*counted += bytes;
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

}  // namespace lull::detail
