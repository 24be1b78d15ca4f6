#include "memory/arena.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <algorithm>
#include <system_error>
#include <tuple>
#include <utility>

#include "vocabulary/current_error.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/round_up.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
arena_state::arena_state(const host_arena_options& options)
    : options_(options), budget_bytes_(options.budget_bytes.value_or(default_arena_budget())) {}

arena_state::~arena_state() {
  stop_preparing();
}

std::unique_ptr<arena_slice> arena_state::take_free(std::uint64_t bytes, const device& for_device,
                                                    std::optional<unsigned> numa_node) {
  // Best: ready for the device; then near it; then populated; then the smallest that is large
  // enough.
  auto best = free_.end();
  const auto rank = [&](const arena_slice& slice) {
    return std::tuple(slice.pin_.serves(for_device), slice.numa_node_ == numa_node,
                      slice.populated_, ~slice.size_bytes());
  };
  for (auto at = free_.begin(); at != free_.end(); ++at) {
    if ((*at)->size_bytes() < bytes) continue;
    if (best == free_.end() || rank(**at) > rank(**best)) best = at;
  }
  if (best == free_.end()) return nullptr;
  auto slice = std::move(*best);
  free_.erase(best);
  return slice;
}

/// Gives up unused slices until the budget has room for so much more, without the lock meanwhile.
bool arena_state::make_room(std::uint64_t bytes, lock_type& lock) {
  while (held_bytes_ + other_bytes_ + bytes > budget_bytes_) {
    if (free_.empty()) return false;
    drop_last(lock);
  }
  return true;
}

/// Gives up the slice that was not used for longest, without the lock.
void arena_state::drop_last(lock_type& lock) {
  auto last = std::move(free_.back());
  free_.pop_back();
  forget(*last);
  lock.unlock();
  release(std::move(last));
  lock.lock();
}

std::unique_ptr<arena_slice> arena_state::make_slice(std::uint64_t bytes,
                                                     std::optional<unsigned> numa_node,
                                                     lock_type& lock) {
  const std::uint64_t size = round_up(bytes, huge_page_bytes);
  if (!make_room(size, lock)) return nullptr;
  auto slice = std::make_unique<arena_slice>(size, host_claim("host memory", size), numa_node);
  all_.push_back(slice.get());
  held_bytes_ += size;
  return slice;
}

std::vector<std::unique_ptr<arena_slice>> arena_state::take(std::uint64_t bytes,
                                                            const device& for_device) {
  std::vector<std::unique_ptr<arena_slice>> taken;
  const auto numa_node = numa_node_of(for_device.pci_address());
  lock_type lock(mutex_);
  try {
    taken.reserve(bytes / options_.slice_bytes + 1);
    for (std::uint64_t left = bytes; left != 0;) {
      const std::uint64_t wanted = std::min(left, options_.slice_bytes);
      auto slice = take_free(wanted, for_device, numa_node);
      if (!slice) slice = make_slice(wanted, numa_node, lock);
      if (!slice) {
        remember_budget(left);
        break;
      }
      used_bytes_ += slice->size_bytes();
      taken.push_back(std::move(slice));
      left -= wanted;
    }
  } catch (...) {
    for (auto& slice : taken) {
      used_bytes_ -= slice->size_bytes();
      free_.push_front(std::move(slice));
    }
    throw;
  }
  return taken;
}

void arena_state::give(std::unique_ptr<arena_slice> slice) noexcept {
  {
    const std::lock_guard lock(mutex_);
    used_bytes_ -= slice->size_bytes();
    const bool worth_keeping = slice->populated_ && held_bytes_ + other_bytes_ <= budget_bytes_;
    if (worth_keeping) {
      try {
        free_.push_front(std::move(slice));
        return;
      } catch (const std::bad_alloc&) {
        // Without a node in the list it is given up.
      }
    }
    forget(*slice);
  }
  release(std::move(slice));
}

/// Called with the mutex held, before a slice is released.
void arena_state::forget(const arena_slice& slice) noexcept {
  held_bytes_ -= slice.size_bytes();
  std::erase(all_, &slice);
}

/// Gives a slice back to the system. Called without the mutex: the driver takes its time for it,
/// and a log may look at the arena.
void arena_state::release(std::unique_ptr<arena_slice> slice) const noexcept {
  try {
    slice->pin_.end();
  } catch (...) {
    options_.log.write(log_level::warning, current_error(status::internal).what());
  }
}

bool arena_state::is_ready(arena_slice& slice, const device& for_device) {
  const std::lock_guard lock(slice.readying_);
  return slice.populated_ && slice.pin_.serves(for_device);
}

void arena_state::populate(arena_slice& slice) {
  const std::lock_guard lock(slice.readying_);
  if (slice.populated_) return;
  slice.pages_.populate();
  slice.populated_ = true;
  slice.claim_.settle(slice.size_bytes());
}

bool arena_state::make_ready(arena_slice& slice, const device& for_device) {
  populate(slice);
  std::string refused;
  {
    const std::lock_guard lock(slice.readying_);
    if (slice.pin_.serves(for_device)) return true;
    try {
      slice.pin_.end();
      slice.pin_ =
          pinning(for_device, slice.address(), slice.size_bytes(), host_access::read_write);
    } catch (const error& failure) {
      refused = failure.what();
    }
  }
  note_refusal(refused);
  return refused.empty();
}

void arena_state::note_refusal(std::string_view reason) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    not_pinned_because_ = reason;
  } catch (const std::bad_alloc&) {
    not_pinned_because_.clear();
  }
  if (!reason.empty()) remember_refusal(reason);
}

/// Called with the mutex held.
void arena_state::remember_refusal(std::string_view reason) noexcept {
  ++refusals_;
  try {
    last_refusal_ = reason;
  } catch (const std::bad_alloc&) {
    last_refusal_.clear();
  }
}

/// Called with the mutex held.
void arena_state::remember_budget(std::uint64_t bytes) noexcept {
  try {
    remember_refusal(text("the arena's budget of {} has no room for {} more",
                          format_bytes(budget_bytes_), format_bytes(bytes)));
  } catch (const std::bad_alloc&) {
    remember_refusal("the arena's budget has no room for more");
  }
}

void arena_state::note_no_room(std::uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  remember_budget(bytes);
}

void arena_state::note_not_tried(std::string_view reason) noexcept {
  const std::lock_guard lock(mutex_);
  remember_refusal(reason);
}

std::uint64_t arena_state::refusals() const {
  const std::lock_guard lock(mutex_);
  return refusals_;
}

std::string arena_state::refusal_after(std::uint64_t refusals) const {
  const std::lock_guard lock(mutex_);
  return refusals_ != refusals ? last_refusal_ : std::string();
}

bool arena_state::count_pinned(std::uint64_t bytes) {
  // What is left goes through staging, and needs its buffers.
  constexpr std::uint64_t most_for_staging = std::uint64_t{128} << 20;
  lock_type lock(mutex_);
  const std::uint64_t for_staging = std::min(budget_bytes_ / 8, most_for_staging);
  const bool fits = used_bytes_ + other_bytes_ + bytes + for_staging <= budget_bytes_;
  if (!fits || !make_room(bytes, lock)) {
    remember_budget(bytes);
    return false;
  }
  other_bytes_ += bytes;
  return true;
}

void arena_state::uncount_pinned(std::uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  other_bytes_ -= bytes;
}

std::uint64_t arena_state::trim(std::uint64_t keep_bytes) {
  std::uint64_t given_back = 0;
  lock_type lock(mutex_);
  while (held_bytes_ > keep_bytes && !free_.empty()) {
    given_back += free_.back()->size_bytes();
    drop_last(lock);
  }
  return given_back;
}

void arena_state::set_budget(std::uint64_t bytes) {
  lock_type lock(mutex_);
  budget_bytes_ = bytes;
  static_cast<void>(make_room(0, lock));
}

host_arena_info arena_state::info() const {
  const std::lock_guard lock(mutex_);
  host_arena_info now;
  now.budget_bytes = budget_bytes_;
  now.held_bytes = held_bytes_ + other_bytes_;
  now.used_bytes = used_bytes_ + other_bytes_;
  now.pinned_bytes = other_bytes_;
  for (const arena_slice* const each : all_) {
    // One that is being made ready is not ready yet.
    const std::unique_lock at_rest(each->readying_, std::try_to_lock);
    if (at_rest && each->pin_.valid()) now.pinned_bytes += each->size_bytes();
  }
  now.preparing = preparers_ != 0;
  now.not_pinned_because = not_pinned_because_;
  return now;
}

}  // namespace lull::detail

namespace lull {
namespace {

host_arena_options checked(const host_arena_options& options) {
  const std::uint64_t slice = options.slice_bytes;
  if (slice == 0 || slice % detail::huge_page_bytes != 0 || slice > std::uint64_t{4} << 30) {
    detail::fail(status::invalid_argument,
                 "arena: slice_bytes is {}; it must be a multiple of 2 MiB, up to 4 GiB", slice);
  }
  if (options.clock == nullptr) throw error(status::invalid_argument, "arena: clock is null");
  return options;
}

}  // namespace

host_arena::host_arena(host_arena_options options)
    : state_(detail::make_shared_of_process<detail::arena_state>(checked(options))) {
  detail::note_use();
}

void host_arena::prepare(const device& for_device, std::uint64_t bytes,
                         const prepare_options& options) const {
  detail::expect_same_process();
  state_->prepare(for_device, bytes, options);
}
void host_arena::wait_prepared() const {
  detail::expect_same_process();
  state_->wait_prepared();
}
std::uint64_t host_arena::trim(std::uint64_t keep_bytes) const {
  detail::expect_same_process();
  return state_->trim(keep_bytes);
}
void host_arena::set_budget(std::uint64_t bytes) const {
  detail::expect_same_process();
  state_->set_budget(bytes);
}
host_arena_info host_arena::info() const {
  detail::expect_same_process();
  return state_->info();
}

}  // namespace lull
