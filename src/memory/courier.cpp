#include "memory/courier.hpp"

#include <lull/error.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

#include "memory/arena.hpp"

namespace lull::detail {
namespace {

/// Small enough that two for each of eight threads stay in the processor's caches: on an H200's
/// host eight threads read a cached file at 51 GB/s through 4 MiB, and at 30 through 16 MiB.
constexpr std::uint64_t staging_bytes = std::uint64_t{4} << 20;

/// Copies under way at a time, of a chunk each: enough to leave no gap between two.
constexpr std::size_t direct_depth = 4;

}  // namespace

courier::courier(const device& where, std::shared_ptr<arena_state> arena, const lull::clock& time)
    : where_(where),
      arena_(std::move(arena)),
      clock_(time),
      asynchronous_(arena_ != nullptr && gains_from_pinning(where)) {}

courier::~courier() {
  direct_.reset();
  staged_.reset();
  if (buffers_ && buffers_->slice) arena_->give(std::move(buffers_->slice));
}

copy_lane& courier::direct_lane() {
  if (!direct_) direct_.emplace(where_, direct_depth);
  return *direct_;
}

copy_lane& courier::staged_lane() {
  if (!staged_) staged_.emplace(where_, std::tuple_size_v<decltype(buffers::at)>);
  return *staged_;
}

const courier::buffers& courier::staging() {
  if (buffers_) return *buffers_;
  buffers made;
  made.each_bytes = staging_bytes;
  std::byte* begin = nullptr;
  if (asynchronous_) {
    made.each_bytes = std::min(staging_bytes, arena_->slice_bytes() / 2);
    try {
      auto slices = arena_->take(2 * made.each_bytes, where_);
      if (!slices.empty()) made.slice = std::move(slices.front());
    } catch (const error& failure) {
      arena_->note_refusal(failure.what());
    }
    if (made.slice) begin = made.slice->address();
  }
  if (begin == nullptr) {
    made.plain = std::make_unique_for_overwrite<std::byte[]>(2 * made.each_bytes);
    begin = made.plain.get();
  }
  made.at = {begin, begin + made.each_bytes};
  buffers_ = std::move(made);
  if (buffers_->slice) buffers_->pinned = arena_->make_ready(*buffers_->slice, where_);
  return *buffers_;
}

backing::view courier::make_ready(backing& which, std::uint64_t at) {
  if (which.is_ready(at, where_)) return which.make_ready(at, where_);
  const time_point begun = clock_.now();
  const backing::view ready = which.make_ready(at, where_);
  ready_time_ += clock_.now() - begun;
  return ready;
}

void courier::move_out(backing& to, std::uint64_t at, const void* from, std::uint64_t bytes,
                       done_callback done, const sink& look) {
  const backing::view host = make_ready(to, at);
  if (asynchronous_ && host.pinned) {
    if (look) {
      done = [look, here = host.address, bytes, then = std::move(done)] {
        look(0, here, bytes);
        then();
      };
    }
    direct_lane().to_host(host.address, from, bytes, std::move(done));
  } else if (host.address != nullptr && !(asynchronous_ && staging().pinned)) {
    where_.copy_to_host(host.address, from, bytes);
    if (look) look(0, host.address, bytes);
    if (asynchronous_) staged_bytes_ += bytes;
    done();
  } else if (where_.supports(capability::host_accessible)) {
    if (look) look(0, static_cast<const std::byte*>(from), bytes);
    to.write(at, from, bytes);
    done();
  } else {
    const auto write = [&to, at, look](std::uint64_t offset, const std::byte* part,
                                       std::uint64_t size) {
      if (look) look(offset, part, size);
      to.write(at + offset, part, size);
    };
    out_staged(from, bytes, write, std::move(done));
  }
}

void courier::move_in(backing& from, std::uint64_t at, void* to, std::uint64_t bytes,
                      done_callback done, const sink& look) {
  const backing::view host = make_ready(from, at);
  if (host.address != nullptr && look) look(0, host.address, bytes);
  if (asynchronous_ && host.pinned) {
    in_pinned(to, host.address, bytes, std::move(done));
  } else if (host.address != nullptr && !(asynchronous_ && staging().pinned)) {
    where_.copy_from_host(to, host.address, bytes);
    if (asynchronous_) staged_bytes_ += bytes;
    done();
  } else {
    const bool unseen = host.address == nullptr && look;
    const auto read = [&](std::uint64_t offset, std::byte* part, std::uint64_t size) {
      from.read(at + offset, part, size);
      if (unseen) look(offset, part, size);
    };
    in_staged(to, bytes, read, std::move(done));
  }
}

void courier::in_pinned(void* to, const std::byte* from, std::uint64_t bytes, done_callback done) {
  direct_lane().from_host(to, from, bytes, std::move(done));
}

void courier::out_staged(const void* from, std::uint64_t bytes, const sink& to,
                         done_callback done) {
  const std::lock_guard lock(staging_mutex_);
  const buffers& through = staging();
  for (std::uint64_t offset = 0; offset < bytes; offset += through.each_bytes) {
    const std::uint64_t part = std::min(through.each_bytes, bytes - offset);
    const auto* const source_address = static_cast<const std::byte*>(from) + offset;
    done_callback when_last = offset + part == bytes ? std::move(done) : done_callback{};
    if (!through.pinned) {
      where_.copy_to_host(through.at[0], source_address, part);
      to(offset, through.at[0], part);
      if (when_last) when_last();
      continue;
    }
    const std::size_t place = staged_lane().next_place();
    std::byte* const buffer = through.at[place];
    staged_lane().to_host(buffer, source_address, part,
                          [to, offset, buffer, part, last = std::move(when_last)] {
                            to(offset, buffer, part);
                            if (last) last();
                          });
  }
  staged_bytes_ += bytes;
}

void courier::in_plain(void* to, const void* from, std::uint64_t bytes) {
  const auto copy = [from](std::uint64_t offset, std::byte* part, std::uint64_t size) {
    std::memcpy(part, static_cast<const std::byte*>(from) + offset, size);
  };
  std::unique_lock lock(staging_mutex_);
  if (asynchronous_ && staging().pinned) {
    lock.unlock();
    in_staged(to, bytes, copy, {});
  } else {
    where_.copy_from_host(to, from, bytes);
    if (asynchronous_) staged_bytes_ += bytes;
  }
}

void courier::in_staged(void* to, std::uint64_t bytes, const source& from, done_callback done) {
  if (where_.supports(capability::host_accessible)) {
    from(0, static_cast<std::byte*>(to), bytes);
    if (done) done();
    return;
  }
  const std::lock_guard lock(staging_mutex_);
  const buffers& through = staging();
  for (std::uint64_t offset = 0; offset < bytes; offset += through.each_bytes) {
    const std::uint64_t part = std::min(through.each_bytes, bytes - offset);
    auto* const target = static_cast<std::byte*>(to) + offset;
    done_callback when_last = offset + part == bytes ? std::move(done) : done_callback{};
    if (!through.pinned) {
      from(offset, through.at[0], part);
      where_.copy_from_host(target, through.at[0], part);
      if (when_last) when_last();
      continue;
    }
    const std::size_t place = staged_lane().next_place();
    from(offset, through.at[place], part);
    staged_lane().from_host(target, through.at[place], part, std::move(when_last));
  }
  staged_bytes_ += bytes;
}

void courier::drain() {
  const std::lock_guard lock(staging_mutex_);
  if (direct_) direct_->drain();
  if (staged_) staged_->drain();
}

}  // namespace lull::detail
