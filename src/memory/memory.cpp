#include <lull/error.hpp>
#include <lull/memory.hpp>

#include <algorithm>
#include <mutex>
#include <optional>

#include "memory/allocation.hpp"
#include "memory/checks.hpp"
#include "memory/departure.hpp"
#include "memory/region_state.hpp"
#include "memory/selection.hpp"
#include "memory/transfer.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/text.hpp"

namespace lull {

std::string_view to_string(residency where) noexcept {
  switch (where) {
    case residency::resident: return "resident";
    case residency::unfilled: return "unfilled";
    case residency::offloaded: return "offloaded";
    case residency::discarded: return "discarded";
  }
  return "?";
}

std::string_view to_string(contents_action action) noexcept {
  switch (action) {
    case contents_action::keep: return "keep";
    case contents_action::offload: return "offload";
    case contents_action::discard: return "discard";
  }
  return "?";
}

std::string_view to_string(backing_store::kind kind) noexcept {
  switch (kind) {
    case backing_store::kind::host_memory: return "host memory";
    case backing_store::kind::memfd: return "memfd";
    case backing_store::kind::file: return "file";
  }
  return "?";
}

contents_action eviction_plan::action_for(std::string_view tag) const {
  const auto found = by_tag.find(tag);
  return found != by_tag.end() ? found->second : otherwise;
}

backing_store backing_store::host_memory() {
  return {};
}

backing_store backing_store::memfd() {
  backing_store store;
  store.kind_ = kind::memfd;
  return store;
}

backing_store backing_store::file(std::filesystem::path path) {
  backing_store store;
  store.kind_ = kind::file;
  store.path_ = std::move(path);
  return store;
}

namespace {

using detail::is_on_device;
using detail::region_state;
using detail::transfer;

/// The right to transfer, for one thread at a time.
class transfer_turn {
 public:
  explicit transfer_turn(detail::memory_state& memory)
      : lock_(memory.transferring, std::defer_lock) {
    detail::expect_same_process();
    if (detail::transfer_thread::works_for(memory)) {
      throw error(status::busy, "a callback of a transfer cannot start another transfer");
    }
    lock_.lock();
    mark_.emplace(memory);
    detail::tidy_up(memory);
  }

 private:
  std::unique_lock<std::mutex> lock_;
  std::optional<detail::transfer_thread> mark_;
};

/// Takes the regions of a transfer for it alone, or none of them.
/// @throws error (busy) that names what is in the way
void claim(const std::vector<transfer::job>& jobs) {
  for (const transfer::job& each : jobs) {
    if (each.region->leases != 0) {
      detail::fail(status::busy, "{} has {} leases out; they must come back first",
                   each.region->describe(), each.region->leases);
    }
    if (each.region->moving) {
      detail::fail(status::busy, "{} is being refilled", each.region->describe());
    }
  }
  for (const transfer::job& each : jobs) each.region->moving = each.region->home->moving = true;
}

/// Makes what a transfer did visible, and frees regions whose owners went away meanwhile. Allocates
/// nothing: what was claimed is given back whatever happened.
void commit(detail::memory_state& memory, const std::vector<transfer::job>& jobs) {
  {
    const std::lock_guard lock(memory.mutex);
    for (const transfer::job& each : jobs) {
      each.region->contents = each.after;
      if (is_on_device(each.after) && each.region->has_moved()) {
        each.region->address = each.region->place();
      }
      detail::extent& home = *each.region->home;
      each.region->moving = home.moving = false;
      home.up = home.is_mapped();
    }
  }
  for (const transfer::job& each : jobs) {
    std::unique_lock lock(memory.mutex);
    if (!retire_if_unused(*each.region)) continue;
    lock.unlock();
    detail::dispose(*each.region);
  }
}

transfer_report run(detail::memory_state& memory, const transfer_options& options,
                    const std::vector<transfer::job>& jobs, void (transfer::*what)(),
                    const std::shared_ptr<detail::departure>& during = nullptr) {
  std::optional<transfer> work;
  try {
    work.emplace(memory, options, jobs, during);
    (*work.*what)();
  } catch (...) {
    commit(memory, work ? work->jobs() : jobs);
    if (work && options.failed_report != nullptr) *options.failed_report = work->take_report();
    throw;
  }
  work->note_moves();
  commit(memory, work->jobs());
  return work->take_report();
}

/// What of somebody's making room for somebody else these regions have a part in; null: nothing.
std::shared_ptr<detail::departure> departure_of(const std::vector<transfer::job>& jobs) {
  for (const transfer::job& each : jobs) {
    if (auto found = detail::departure::find(each.region->where)) return found;
  }
  return nullptr;
}

transfer_report evict_from(detail::memory_state& memory, const eviction_plan& plan,
                           const transfer_options& options, const device* only = nullptr) {
  const transfer_turn turn(memory);
  std::vector<transfer::job> jobs;
  std::shared_ptr<detail::departure> during;
  {
    const std::lock_guard lock(memory.mutex);
    jobs = detail::jobs_to_evict(memory, plan, only);
    during = departure_of(jobs);
    if (during) during->add_leaving(&memory);
    claim(jobs);
  }
  return run(memory, options, jobs, during ? &transfer::swap : &transfer::evict, during);
}

/// Watches over resets of a device from its first region on.
void watch_resets(const std::shared_ptr<detail::memory_state>& memory, const device& where) {
  if (!where.supports(capability::reset)) return;
  const std::lock_guard lock(memory->mutex);
  for (const auto& each : memory->hooks) {
    if (each.where == where) return;
  }
  const auto discard_all = [weak = std::weak_ptr(memory)](const reset_event& event) {
    const auto alive = weak.lock();
    if (!alive) return;
    detail::tidy_up(*alive);  // what could not be given back would be in the way
    if (!event.dropping) return;
    eviction_plan everything;
    everything.otherwise = contents_action::discard;
    static_cast<void>(evict_from(*alive, everything, {}, &event.device));
  };
  // The memory of whatever is on the books is dropped without asking; a region must not be there.
  const auto expect_given_up = [weak = std::weak_ptr(memory)](const reset_event& event) {
    const auto alive = weak.lock();
    if (!alive || !event.dropping) return;
    const std::lock_guard list_lock(alive->mutex);
    for (const auto& region : alive->regions) {
      if (!(region->where == event.device)) continue;
      if (!is_on_device(region->contents) && !region->arriving && !region->moving) continue;
      detail::fail(status::busy, "{} came back meanwhile", region->describe());
    }
  };
  memory->hooks.push_back({where, reset_hook(where, "regions", discard_all, {}, expect_given_up)});
}

/// Fills a new region from its source.
void load(detail::memory_state& memory, const std::shared_ptr<region_state>& region) {
  const std::vector<transfer::job> jobs{{region, contents_action::discard, residency::unfilled}};
  {
    const std::lock_guard lock(memory.mutex);
    region->moving = true;
    region->contents = residency::unfilled;
  }
  run(memory, {}, jobs, &transfer::load);
}

}  // namespace

memory::memory(memory_options options)
    : state_(detail::make_shared_of_process<detail::memory_state>(
          detail::checked_options(std::move(options)))) {
  detail::note_use();
}

memory::~memory() = default;

region memory::allocate(const device& where, std::uint64_t bytes, region_options options) {
  where.require(capability::stable_addresses, "a region");
  where.require(capability::copy, "a region");
  const std::uint64_t granularity = where.vm_granularity();
  if (bytes == 0 || bytes > UINT64_MAX - granularity) {
    detail::fail(status::invalid_argument, "region '{}' of {} bytes on {}", options.name, bytes,
                 where.name());
  }
  detail::check_peers(where, options);
  watch_resets(state_, where);
  auto region = std::make_shared<region_state>(state_, where, bytes, std::move(options));
  detail::check_source(*region);
  detail::settle_in(region, granularity);
  lull::region owned(region);
  if (region->options.source && !region->options.absent) load(*state_, region);
  return owned;
}

transfer_report memory::evict(const eviction_plan& plan, const transfer_options& options) {
  return evict_from(*state_, plan, options);
}

std::uint64_t memory::drop_backups(const eviction_plan& plan) {
  const transfer_turn turn(*state_);
  std::vector<transfer::job> jobs;
  {
    const std::lock_guard lock(state_->mutex);
    jobs = detail::jobs_to_drop(*state_, plan);
    claim(jobs);
  }
  std::uint64_t bytes = 0;
  for (const transfer::job& each : jobs) each.region->saved.retire();
  for (const transfer::job& each : jobs) {
    each.region->saved.drop();
    bytes += each.region->size_bytes;
  }
  commit(*state_, jobs);
  return bytes;
}

transfer_report memory::restore(const std::vector<std::string>& tags,
                                const transfer_options& options) {
  const transfer_turn turn(*state_);
  std::vector<transfer::job> jobs;
  {
    const std::lock_guard lock(state_->mutex);
    jobs = detail::jobs_to_restore(*state_, tags);
    claim(jobs);
  }
  const auto during = departure_of(jobs);
  if (!during) return run(*state_, options, jobs, &transfer::restore);
  if (during->is_leaving(state_.get())) {
    during->call_off();
    return run(*state_, options, jobs, &transfer::restore);
  }
  for (transfer::job& each : jobs) each.coming = true;
  const detail::departure::arrival here(during);
  return run(*state_, options, jobs, &transfer::swap, during);
}

transfer_report memory::swap(const eviction_plan& leaving, const std::vector<std::string>& coming,
                             const transfer_options& options) {
  for (const std::string& tag : coming) {
    if (leaving.action_for(tag) == contents_action::keep) continue;
    detail::fail(status::invalid_argument, "swap: '{}' cannot come and leave at once", tag);
  }
  const transfer_turn turn(*state_);
  std::vector<transfer::job> jobs;
  {
    const std::lock_guard lock(state_->mutex);
    jobs = detail::jobs_to_evict(*state_, leaving);
    if (!coming.empty()) {
      for (transfer::job& each : detail::jobs_to_restore(*state_, coming)) {
        each.coming = true;
        jobs.push_back(std::move(each));
      }
    }
    claim(jobs);
  }
  return run(*state_, options, jobs, &transfer::swap);
}

std::vector<region_info> memory::regions() const {
  detail::expect_same_process();
  const std::lock_guard lock(state_->mutex);
  std::vector<region_info> all;
  all.reserve(state_->regions.size());
  for (const auto& region : state_->regions) {
    if (region->abandoned || region->arriving) continue;
    all.push_back(region->info());
  }
  return all;
}

const host_arena& memory::arena() const noexcept {
  return *state_->options.arena;
}

std::uint64_t memory::leftover_bytes() const {
  detail::expect_same_process();
  const std::lock_guard lock(state_->mutex);
  std::uint64_t bytes = 0;
  for (auto each = state_->leftovers.get(); each != nullptr; each = each->next_leftover.get()) {
    bytes += each->obtained_bytes();
  }
  return bytes;
}

std::vector<device> memory::devices() const {
  detail::expect_same_process();
  const std::lock_guard lock(state_->mutex);
  std::vector<device> all;
  for (const auto& region : state_->regions) {
    if (std::find(all.begin(), all.end(), region->where) == all.end()) all.push_back(region->where);
  }
  return all;
}

}  // namespace lull
