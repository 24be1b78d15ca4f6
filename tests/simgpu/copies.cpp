/// @file
/// Copies of the simulated GPU, and the streams and events that they are ordered by. A copy that is
/// queued takes place as late as it may: when somebody waits for it. So whoever reads a buffer
/// before that, or writes it, is found out by wrong bytes. When it is over is known as soon as it
/// is queued: each direction of the link does one at a time.

#include <algorithm>
#include <cstring>
#include <thread>

#include "simgpu/world.hpp"

namespace simgpu {
namespace {

bool overlap(const void* a, std::uint64_t a_bytes, const void* b, std::uint64_t b_bytes) {
  const auto* const first = static_cast<const char*>(a);
  const auto* const second = static_cast<const char*>(b);
  return first < second + b_bytes && second < first + a_bytes;
}

}  // namespace

/// Whether the host's side is registered or was allocated pinned, as a whole.
bool world::is_pinned(const void* address, std::uint64_t bytes) const {
  const char* const start = static_cast<const char*>(address);
  if (auto after = registrations_.upper_bound(start); after != registrations_.begin()) {
    const auto& [first, each] = *std::prev(after);
    if (start + bytes <= first + each.bytes) return true;
  }
  auto after = handles_.upper_bound(const_cast<char*>(start));
  if (after == handles_.begin()) return false;
  const auto& [first, each] = *std::prev(after);
  return each.kind == handle_kind::pinned && each.alive &&
         start + bytes <= static_cast<const char*>(first) + each.bytes;
}

/// Takes the link for a copy. @return when it is over
world::time_point world::occupy_link(int device, std::uint64_t bytes, bool to_host, bool pinned,
                                     time_point not_before) {
  time_point& busy_until = gpus_[static_cast<std::size_t>(device)].link_busy_until[to_host ? 1 : 0];
  const time_point begun = std::max({clock::now(), busy_until, not_before});
  busy_until = begun + made_.speed.copy(bytes, to_host, pinned);
  return busy_until;
}

code world::check_copy(const void* destination, const void* source, std::uint64_t bytes,
                       bool to_host) {
  if (!is_device_memory(to_host ? source : destination, bytes)) {
    misuse_.emplace_back("copy with what is no device memory");
    return code::invalid_value;
  }
  if (crosses_registrations(to_host ? destination : source, bytes)) {
    misuse_.emplace_back("copy across the end of a registration");
    return code::invalid_value;
  }
  return code::ok;
}

code world::copy(int device, void* destination, const void* source, std::uint64_t bytes,
                 bool to_host) {
  time_point over;
  {
    const std::lock_guard lock(mutex_);
    const code checked = check_copy(destination, source, bytes, to_host);
    if (checked != code::ok) return checked;
    const bool pinned = is_pinned(to_host ? destination : source, bytes);
    over = occupy_link(device, bytes, to_host, pinned, {});
    std::memcpy(destination, source, bytes);
  }
  std::this_thread::sleep_until(over);
  return code::ok;
}

code world::copy_async(int device, void* stream, void* destination, const void* source,
                       std::uint64_t bytes, bool to_host) {
  time_point over;
  {
    const std::lock_guard lock(mutex_);
    if (const code live = stream_use(stream); live != code::ok) return live;
    const code checked = check_copy(destination, source, bytes, to_host);
    if (checked != code::ok) return checked;
    const bool pinned = is_pinned(to_host ? destination : source, bytes);
    queue& in = queues_[stream];
    in.device = device;
    over = in.empty_at = occupy_link(device, bytes, to_host, pinned, in.empty_at);
    in.copies.push_back({destination, source, bytes});
    ++in.queued;
    if (pinned && stream != nullptr) return code::ok;
    run_copies(in, in.queued);
  }
  // Pageable memory is staged before the call returns.
  std::this_thread::sleep_until(over);
  return code::ok;
}

/// Lets the copies up to a number take place.
void world::run_copies(queue& in, std::uint64_t up_to) {
  while (in.done < up_to && !in.copies.empty()) {
    const queued_copy next = in.copies.front();
    in.copies.pop_front();
    ++in.done;
    std::memcpy(next.destination, next.source, next.bytes);
  }
}

/// What is queued takes place while the link is busy with it, and not after that.
code world::stream_synchronize(void* stream) {
  time_point over;
  {
    const std::lock_guard lock(mutex_);
    if (const code live = stream_use(stream); live != code::ok) return live;
    queue& in = queues_[stream];
    over = in.empty_at;
    run_copies(in, in.queued);
  }
  std::this_thread::sleep_until(over);
  return code::ok;
}

code world::event_create(int device, void** event) {
  const std::lock_guard lock(mutex_);
  return make_handle(handle_kind::event, device, 0, event);
}

code world::event_destroy(void* event) {
  const std::lock_guard lock(mutex_);
  marks_.erase(event);
  return end_handle(handle_kind::event, event, "event");
}

code world::event_use(void* event) {
  object* found = nullptr;
  return live_handle(handle_kind::event, event, "event", &found);
}

code world::event_record(void* event, void* stream) {
  const std::lock_guard lock(mutex_);
  if (const code live = stream_use(stream); live != code::ok) return live;
  if (const code live = event_use(event); live != code::ok) return live;
  const queue& in = queues_[stream];
  marks_[event] = {stream, in.queued, in.empty_at};
  return code::ok;
}

code world::event_query(void* event, bool* happened) {
  const std::lock_guard lock(mutex_);
  if (const code live = event_use(event); live != code::ok) return live;
  const auto mark = marks_.find(event);
  *happened = mark == marks_.end() || mark->second.when <= clock::now();
  if (*happened) reach(event);
  return code::ok;
}

code world::event_synchronize(void* event) {
  time_point over;
  {
    const std::lock_guard lock(mutex_);
    if (const code live = event_use(event); live != code::ok) return live;
    const auto mark = marks_.find(event);
    if (mark == marks_.end()) return code::ok;
    over = mark->second.when;
    reach(event);
  }
  std::this_thread::sleep_until(over);
  return code::ok;
}

/// Lets take place what an event was recorded for.
void world::reach(void* event) {
  const auto mark = marks_.find(event);
  if (mark == marks_.end()) return;
  const auto in = queues_.find(mark->second.stream);
  if (in != queues_.end()) run_copies(in->second, mark->second.up_to);
}

code world::stream_wait_event(void* stream, void* event) {
  const std::lock_guard lock(mutex_);
  if (const code live = stream_use(stream); live != code::ok) return live;
  if (const code live = event_use(event); live != code::ok) return live;
  const auto mark = marks_.find(event);
  if (mark == marks_.end()) return code::ok;
  reach(event);
  queue& in = queues_[stream];
  in.empty_at = std::max(in.empty_at, mark->second.when);
  return code::ok;
}

void world::finish_copies(int device) {
  time_point over{};
  {
    const std::lock_guard lock(mutex_);
    for (auto& [stream, in] : queues_) {
      if (in.device != device) continue;
      over = std::max(over, in.empty_at);
      run_copies(in, in.queued);
    }
  }
  std::this_thread::sleep_until(over);
}

/// Whether a copy from or to a stretch is still under way.
bool world::is_being_copied(const void* address, std::uint64_t bytes) const {
  for (const auto& [stream, in] : queues_) {
    for (const queued_copy& each : in.copies) {
      if (overlap(address, bytes, each.destination, each.bytes) ||
          overlap(address, bytes, each.source, each.bytes)) {
        return true;
      }
    }
  }
  return false;
}

void world::spend_in_driver(clockwork::duration how_long) {
  if (how_long == clockwork::duration::zero()) return;
  time_point over;
  {
    const std::lock_guard lock(mutex_);
    over = driver_busy_until_ = std::max(clock::now(), driver_busy_until_) + how_long;
  }
  std::this_thread::sleep_until(over);
}

}  // namespace simgpu
