#include <lull/error.hpp>
#include <lull/memory.hpp>

#include "memory/courier.hpp"
#include "memory/refill.hpp"
#include "memory/region_state.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace {

[[noreturn]] void throw_not_resident(const detail::region_state& region) {
  const char* remedy = "restore it first";
  if (region.contents == residency::unfilled) {
    remedy = "its contents were discarded and never written again; refill it first";
  }
  detail::fail(status::not_resident, "{} is {}: {}", region.describe(), to_string(region.contents),
               remedy);
}

void expect_not_moving(const detail::region_state& region) {
  if (!region.moving) return;
  detail::fail(status::busy, "{} is being moved", region.describe());
}

}  // namespace

region_lease::region_lease(std::shared_ptr<detail::region_state> state) noexcept
    : state_(std::move(state)) {}

region_lease& region_lease::operator=(region_lease&& other) noexcept {
  if (this != &other) {
    release();
    state_ = std::move(other.state_);
  }
  return *this;
}

region_lease::~region_lease() {
  release();
}

void region_lease::release() noexcept {
  if (!state_) return;
  if (detail::leak_in_forked_child(std::move(state_))) return;
  bool retired = false;
  {
    const std::lock_guard lock(state_->owner->mutex);
    --state_->leases;
    retired = retire_if_unused(*state_);
  }
  if (retired) dispose(*state_);
  state_.reset();
}

void* region_lease::address() const noexcept {
  return state_->address;
}
std::uint64_t region_lease::size_bytes() const noexcept {
  return state_->size_bytes;
}

region::region(std::shared_ptr<detail::region_state> state) noexcept : state_(std::move(state)) {}

region& region::operator=(region&& other) noexcept {
  if (this != &other) {
    release();
    state_ = std::move(other.state_);
  }
  return *this;
}

region::~region() {
  release();
}

void region::release() noexcept {
  if (!state_) return;
  if (detail::leak_in_forked_child(std::move(state_))) return;
  bool retired = false;
  {
    const std::lock_guard lock(state_->owner->mutex);
    state_->abandoned = true;
    retired = retire_if_unused(*state_);
  }
  if (retired) dispose(*state_);
  state_.reset();
}

void* region::address() const noexcept {
  return state_->address;
}
std::uint64_t region::size_bytes() const noexcept {
  return state_->size_bytes;
}
const lull::device& region::device() const noexcept {
  return state_->where;
}
const std::string& region::name() const noexcept {
  return state_->options.name;
}
const std::string& region::tag() const noexcept {
  return state_->options.tag;
}

residency region::state() const noexcept {
  if (detail::in_forked_child.load(std::memory_order_relaxed)) return state_->contents;
  const std::lock_guard lock(state_->owner->mutex);
  return state_->contents;
}

region_info region::info() const {
  detail::expect_same_process();
  const std::lock_guard lock(state_->owner->mutex);
  return state_->info();
}

region_lease region::acquire() const {
  detail::expect_same_process();
  const std::lock_guard lock(state_->owner->mutex);
  expect_not_moving(*state_);
  if (state_->contents != residency::resident) throw_not_resident(*state_);
  ++state_->leases;
  return region_lease(state_);
}

void region::refill(const refill_callback& write) {
  if (!write) throw error(status::invalid_argument, "refill needs a callback that writes");
  detail::expect_same_process();
  const auto state = state_;  // the callback may destroy the region
  {
    const std::lock_guard lock(state->owner->mutex);
    expect_not_moving(*state);
    const bool on_device =
        state->contents == residency::resident || state->contents == residency::unfilled;
    if (!on_device) throw_not_resident(*state);
    if (state->leases != 0) {
      detail::fail(status::busy, "{} has {} leases out; they must come back first",
                   state->describe(), state->leases);
    }
    state->moving = true;
  }
  const auto finish = [&state](residency contents) {
    bool retired = false;
    {
      const std::lock_guard lock(state->owner->mutex);
      state->moving = false;
      state->contents = contents;
      retired = retire_if_unused(*state);
    }
    if (retired) dispose(*state);
  };
  try {
    detail::memory_state& memory = *state->owner;
    detail::courier with(state->where, memory.arena, *memory.options.clock);
    write(detail::refill_access::target(*state, with));
    with.drain();
  } catch (...) {
    finish(residency::unfilled);
    throw;
  }
  finish(residency::resident);
}

void region::mark_written() {
  detail::expect_same_process();
  const std::lock_guard lock(state_->owner->mutex);
  expect_not_moving(*state_);
  state_->written = true;
}

void region::set_refill(refill_callback refill) {
  detail::expect_same_process();
  const std::lock_guard lock(state_->owner->mutex);
  expect_not_moving(*state_);
  std::swap(state_->refill, refill);  // what the old one holds may be a region: not under the lock
}

}  // namespace lull
