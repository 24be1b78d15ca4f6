#include <lull/device.hpp>

#include <optional>

#include "core/device_state.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace {

using detail::object_kind;

std::uint64_t key_of(const void* handle) noexcept {
  return reinterpret_cast<std::uintptr_t>(handle);
}

/// An object's entry, taken off the books for as long as it is being destroyed, so that only one
/// caller destroys it. Put back if that fails.
class removal {
 public:
  /// @throws error (stale) when it is not on the books
  removal(const detail::device_state& device, object_kind kind, std::uint64_t key,
          std::string_view operation)
      : context_(device.context.get()), kind_(kind) {
    if (context_ == nullptr) return;
    entry_ = context_->books.remove(kind, key);
    if (!entry_) throw_stale(device, kind, key, operation);
  }
  ~removal() {
    if (entry_) context_->books.add(kind_, *entry_);
  }
  removal(const removal&) = delete;
  removal& operator=(const removal&) = delete;

  [[noreturn]] static void throw_stale(const detail::device_state& device, object_kind kind,
                                       std::uint64_t key, std::string_view operation) {
    detail::fail(status::stale,
                 "{}: {}: {} is no live {}; it was given up already, or by the reset that "
                 "led to generation {}",
                 device.name, operation, detail::hex(key), to_string(kind),
                 device.context->generation.load(std::memory_order_acquire));
  }

  void done() noexcept { entry_.reset(); }

 private:
  detail::device_context* context_;
  object_kind kind_;
  std::optional<detail::device_books::entry> entry_;
};

void put_down(const detail::device_state& device, object_kind kind, std::uint64_t key,
              std::uint64_t bytes = 0, std::uint64_t other = 0) {
  if (device.context) device.context->books.add(kind, {key, bytes, other});
}

void expect_live(const detail::device_state& device, object_kind kind, const void* handle,
                 std::string_view operation) {
  if (device.context && !device.context->books.contains(kind, key_of(handle))) {
    removal::throw_stale(device, kind, key_of(handle), operation);
  }
}

}  // namespace

void device::context_create() const {
  const auto inside = detail::enter(*state_);
  detail::call(*state_, "context_create", state_->backend->table().ops.context_create);
}

void device::synchronize() const {
  // Memory without a context group is used by the CPU alone, and its caller's own work is done.
  if (!supports(capability::context)) return;
  const auto inside = detail::enter(*state_);
  detail::call(*state_, "synchronize", state_->backend->table().ops.synchronize);
}

void* device::allocate(std::uint64_t bytes) const {
  const auto inside = detail::enter(*state_);
  void* address = nullptr;
  detail::call(*state_, "allocate", state_->backend->table().ops.allocate, bytes, &address);
  put_down(*state_, object_kind::allocation, key_of(address), bytes);
  return address;
}

void device::deallocate(void* address, std::uint64_t bytes) const {
  const auto inside = detail::enter(*state_);
  removal entry(*state_, object_kind::allocation, key_of(address), "deallocate");
  detail::call(*state_, "deallocate", state_->backend->table().ops.deallocate, address, bytes);
  entry.done();
}

std::uint64_t device::vm_granularity() const {
  const auto inside = detail::enter(*state_);
  std::uint64_t bytes = 0;
  detail::call(*state_, "vm_granularity", state_->backend->table().ops.vm_granularity, &bytes);
  return bytes;
}

void* device::vm_reserve(std::uint64_t bytes) const {
  const auto inside = detail::enter(*state_);
  void* address = nullptr;
  detail::call(*state_, "vm_reserve", state_->backend->table().ops.vm_reserve, bytes, &address);
  put_down(*state_, object_kind::reservation, key_of(address), bytes);
  return address;
}

void device::vm_release(void* address, std::uint64_t bytes) const {
  const auto inside = detail::enter(*state_);
  removal entry(*state_, object_kind::reservation, key_of(address), "vm_release");
  detail::call(*state_, "vm_release", state_->backend->table().ops.vm_release, address, bytes);
  entry.done();
}

std::uint64_t device::vm_create(std::uint64_t bytes) const {
  const auto inside = detail::enter(*state_);
  std::uint64_t handle = 0;
  detail::call(*state_, "vm_create", state_->backend->table().ops.vm_create, bytes, &handle);
  put_down(*state_, object_kind::memory, handle, bytes);
  return handle;
}

void device::vm_destroy(std::uint64_t handle) const {
  const auto inside = detail::enter(*state_);
  removal entry(*state_, object_kind::memory, handle, "vm_destroy");
  detail::call(*state_, "vm_destroy", state_->backend->table().ops.vm_destroy, handle);
  entry.done();
}

void device::vm_map(void* address, std::uint64_t bytes, std::uint64_t handle) const {
  const auto inside = detail::enter(*state_);
  detail::call(*state_, "vm_map", state_->backend->table().ops.vm_map, address, bytes, handle);
  put_down(*state_, object_kind::mapping, key_of(address), bytes, handle);
}

void device::vm_unmap(void* address, std::uint64_t bytes) const {
  const auto inside = detail::enter(*state_);
  removal entry(*state_, object_kind::mapping, key_of(address), "vm_unmap");
  detail::call(*state_, "vm_unmap", state_->backend->table().ops.vm_unmap, address, bytes);
  entry.done();
}

void device::copy_to_host(void* host, const void* address, std::uint64_t bytes) const {
  const auto inside = detail::enter(*state_);
  detail::call(*state_, "copy_to_host", state_->backend->table().ops.copy_to_host, host, address,
               bytes);
}

void device::copy_from_host(void* address, const void* host, std::uint64_t bytes) const {
  const auto inside = detail::enter(*state_);
  detail::call(*state_, "copy_from_host", state_->backend->table().ops.copy_from_host, address,
               host, bytes);
}

void device::fill(void* address, std::byte value, std::uint64_t bytes) const {
  const auto inside = detail::enter(*state_);
  detail::call(*state_, "fill", state_->backend->table().ops.fill, address,
               static_cast<std::uint8_t>(value), bytes);
}

void* device::stream_create() const {
  const auto inside = detail::enter(*state_);
  void* stream = nullptr;
  detail::call(*state_, "stream_create", state_->backend->table().ops.stream_create, &stream);
  put_down(*state_, object_kind::stream, key_of(stream));
  return stream;
}

void device::stream_destroy(void* stream) const {
  const auto inside = detail::enter(*state_);
  removal entry(*state_, object_kind::stream, key_of(stream), "stream_destroy");
  detail::call(*state_, "stream_destroy", state_->backend->table().ops.stream_destroy, stream);
  entry.done();
}

void device::stream_synchronize(void* stream) const {
  const auto inside = detail::enter(*state_);
  expect_live(*state_, object_kind::stream, stream, "stream_synchronize");
  detail::call(*state_, "stream_synchronize", state_->backend->table().ops.stream_synchronize,
               stream);
}

void device::copy_to_host_async(void* stream, void* host, const void* address,
                                std::uint64_t bytes) const {
  const auto inside = detail::enter(*state_);
  expect_live(*state_, object_kind::stream, stream, "copy_to_host_async");
  detail::call(*state_, "copy_to_host_async", state_->backend->table().ops.copy_async, stream, host,
               address, bytes, 1);
}

void device::copy_from_host_async(void* stream, void* address, const void* host,
                                  std::uint64_t bytes) const {
  const auto inside = detail::enter(*state_);
  expect_live(*state_, object_kind::stream, stream, "copy_from_host_async");
  detail::call(*state_, "copy_from_host_async", state_->backend->table().ops.copy_async, stream,
               address, host, bytes, 0);
}

void* device::pinned_allocate(std::uint64_t bytes) const {
  const auto inside = detail::enter(*state_);
  void* address = nullptr;
  detail::call(*state_, "pinned_allocate", state_->backend->table().ops.pinned_allocate, bytes,
               &address);
  put_down(*state_, object_kind::pinned, key_of(address), bytes);
  return address;
}

void device::pinned_free(void* address) const {
  const auto inside = detail::enter(*state_);
  removal entry(*state_, object_kind::pinned, key_of(address), "pinned_free");
  detail::call(*state_, "pinned_free", state_->backend->table().ops.pinned_free, address);
  entry.done();
}

void device::pool_trim() const {
  const auto inside = detail::enter(*state_);
  detail::call(*state_, "pool_trim", state_->backend->table().ops.pool_trim);
}

void device::graph_adopt(void* graph_exec) const {
  require(capability::graphs, "graph_adopt");
  const auto inside = detail::enter(*state_);
  put_down(*state_, object_kind::graph, key_of(graph_exec));
}

void device::graph_destroy(void* graph_exec) const {
  const auto inside = detail::enter(*state_);
  removal entry(*state_, object_kind::graph, key_of(graph_exec), "graph_destroy");
  detail::call(*state_, "graph_destroy", state_->backend->table().ops.graph_destroy, graph_exec);
  entry.done();
}

void device::graph_destroy(void* graph_exec, std::uint64_t generation) const {
  require(capability::graphs, "graph_destroy");
  const auto inside = detail::enter(*state_);
  // Looked at with no reset possible: another graph may have got the same handle since.
  if (this->generation() != generation) {
    detail::fail(status::stale, "{}: graph_destroy: a graph of generation {} is gone; this is {}",
                 name(), generation, this->generation());
  }
  graph_disown(graph_exec);
  try {
    detail::call(*state_, "graph_destroy", state_->backend->table().ops.graph_destroy, graph_exec);
  } catch (const error& failure) {
    if (failure.code() == status::busy) {
      put_down(*state_, object_kind::graph, key_of(graph_exec));
    }
    throw;
  }
}

void device::graph_disown(void* graph_exec) const {
  if (state_->context) {
    static_cast<void>(state_->context->books.remove(object_kind::graph, key_of(graph_exec)));
  }
}

std::optional<std::uint64_t> device::graph_node_bytes() const noexcept {
  if (state_->graph_node_bytes == 0) return std::nullopt;
  return state_->graph_node_bytes;
}

void device::graph_upload(void* graph_exec, void* stream) const {
  const auto inside = detail::enter(*state_);
  expect_live(*state_, object_kind::graph, graph_exec, "graph_upload");
  detail::call(*state_, "graph_upload", state_->backend->table().ops.graph_upload, graph_exec,
               stream);
}

std::uint64_t device::graph_node_count(void* graph) const {
  const auto inside = detail::enter(*state_);
  std::uint64_t nodes = 0;
  detail::call(*state_, "graph_node_count", state_->backend->table().ops.graph_node_count, graph,
               &nodes);
  return nodes;
}

void device::graph_trim() const {
  const auto inside = detail::enter(*state_);
  detail::call(*state_, "graph_trim", state_->backend->table().ops.graph_trim);
}

void device::checkpoint_process(std::int64_t pid, std::chrono::milliseconds timeout) const {
  // The vendors take 0 for "no timeout", and 32 bits.
  if (timeout.count() < 1 || timeout.count() > UINT32_MAX) {
    detail::fail(status::invalid_argument, "{}: a timeout of {} ms for the work of process {}",
                 name(), timeout.count(), pid);
  }
  detail::call(*state_, "checkpoint_process", state_->backend->table().ops.process_checkpoint, pid,
               static_cast<std::uint32_t>(timeout.count()));
}

}  // namespace lull
