/// @file
/// Streams, events, pinned memory and graphs of the simulated GPU: what dies with its context.
/// Handles are never given out twice, so that one from before a reset is always recognized.

#include <sys/mman.h>

#include <cstdlib>
#include <utility>

#include "simgpu/world.hpp"

namespace simgpu {

code world::make_handle(handle_kind kind, int device, std::uint64_t bytes, void** out) {
  if (const code made = ensure_context_locked(device); made != code::ok) return made;
  if (kind == handle_kind::pinned) {
    void* const pages = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) return code::out_of_memory;
    ::madvise(pages, bytes, MADV_HUGEPAGE);
    *out = pages;
  } else {
    if (const code charged = charge(device, bytes); charged != code::ok) return charged;
    *out = std::malloc(1);
  }
  const std::uint64_t context = gpus_[static_cast<std::size_t>(device)].context_id;
  handles_[*out] = {kind, device, context, bytes, true};
  return code::ok;
}

code world::live_handle(handle_kind kind, void* which, const char* what, object** found) {
  const auto at = handles_.find(which);
  if (at == handles_.end() || at->second.kind != kind) {
    return misused(std::string{what} + " that does not exist");
  }
  if (!at->second.alive) {
    misuse_.push_back(std::string{what} + " used after it was gone");
    return code::context_destroyed;
  }
  *found = &at->second;
  return code::ok;
}

code world::end_handle(handle_kind kind, void* which, const char* what) {
  object* found = nullptr;
  if (const code live = live_handle(kind, which, what, &found); live != code::ok) return live;
  found->alive = false;
  if (kind == handle_kind::graph) refund(found->device, found->bytes);
  return code::ok;
}

code world::pinned_allocate(int device, std::uint64_t bytes, void** address) {
  const std::lock_guard lock(mutex_);
  return make_handle(handle_kind::pinned, device, bytes, address);
}

code world::pinned_free(void* address) {
  const std::lock_guard lock(mutex_);
  return end_handle(handle_kind::pinned, address, "pinned memory");
}

code world::stream_create(int device, void** stream) {
  const std::lock_guard lock(mutex_);
  return make_handle(handle_kind::stream, device, 0, stream);
}

code world::stream_destroy(void* stream) {
  const std::lock_guard lock(mutex_);
  if (const auto in = queues_.find(stream); in != queues_.end()) {
    run_copies(in->second, in->second.queued);
    queues_.erase(in);
  }
  return end_handle(handle_kind::stream, stream, "stream");
}

code world::stream_use(void* stream) {
  const std::lock_guard lock(mutex_);
  if (stream == nullptr) return code::ok;  // the null stream
  object* found = nullptr;
  return live_handle(handle_kind::stream, stream, "stream", &found);
}

code world::capture_begin(void* stream) {
  const std::lock_guard lock(mutex_);
  if (const code live = stream_use(stream); live != code::ok) return live;
  ++captures_;
  return code::ok;
}

code world::capture_end(void* stream) {
  const std::lock_guard lock(mutex_);
  if (captures_ == 0) return misused("end of a capture that was not begun");
  --captures_;
  return stream_use(stream);
}

code world::graph_create(int device, std::uint64_t bytes, void** graph_exec) {
  const std::lock_guard lock(mutex_);
  return make_handle(handle_kind::graph, device, bytes, graph_exec);
}

code world::graph_destroy(void* graph_exec) {
  const std::lock_guard lock(mutex_);
  if (captures_ != 0) {
    misuse_.emplace_back("graph destroyed during a capture");
    return code::not_permitted;
  }
  object* found = nullptr;
  const code live = live_handle(handle_kind::graph, graph_exec, "graph", &found);
  if (live != code::ok || !found->running) {
    return live != code::ok ? live : end_handle(handle_kind::graph, graph_exec, "graph");
  }
  if (vendor_ != vendor::cuda) return misused("graph destroyed while it runs");
  found->alive = false;
  return code::ok;
}

code world::graph_launch(void* graph_exec) {
  const std::lock_guard lock(mutex_);
  object* found = nullptr;
  const code live = live_handle(handle_kind::graph, graph_exec, "graph", &found);
  if (live == code::ok) found->running = true;
  return live;
}

void world::finish_work(int device) {
  finish_copies(device);
  const std::lock_guard lock(mutex_);
  for (auto& [address, each] : handles_) {
    if (each.device != device || !std::exchange(each.running, false)) continue;
    if (!each.alive) refund(device, each.bytes);
  }
}

code world::graph_use(void* graph_exec) {
  const std::lock_guard lock(mutex_);
  object* found = nullptr;
  return live_handle(handle_kind::graph, graph_exec, "graph", &found);
}

}  // namespace simgpu
