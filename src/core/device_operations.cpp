#include <lull/device.hpp>

#include <optional>

#include "core/device_state.hpp"
#include "vocabulary/text.hpp"

// Every operation passes through the device's gate, so that it never overlaps with a reset, and
// what it makes stands in the device's books. `run`, `make`, `use` and `end` are the four ways of
// doing that.

namespace lull {
namespace {

using detail::device_state;
using detail::enter;
using detail::object_kind;
namespace op = detail::op;

std::uint64_t key_of(const void* handle) noexcept {
  return reinterpret_cast<std::uintptr_t>(handle);
}
std::uint64_t key_of(std::uint64_t handle) noexcept {
  return handle;
}

[[noreturn]] void throw_stale(const device_state& device, object_kind kind, std::uint64_t key,
                              std::string_view operation) {
  detail::fail(status::stale,
               "{}: {}: {} is no live {}; it was given up already, or by the reset that "
               "led to generation {}",
               device.name, operation, detail::hex(key), to_string(kind),
               device.generation->load());
}

/// A line on the books for what is about to be made: got before, so that writing it cannot fail.
class new_entry {
 public:
  explicit new_entry(const device_state& device) : context_(device.context.get()) {
    if (context_ != nullptr) paper_ = detail::device_books::slip::blank();
  }
  void write(object_kind kind, std::uint64_t key, std::uint64_t bytes = 0,
             std::uint64_t other = 0) noexcept {
    if (context_ != nullptr) context_->books.add(kind, std::move(paper_), {key, bytes, other});
  }

 private:
  detail::device_context* context_;
  detail::device_books::slip paper_;
};

/// An object's line, taken off the books for as long as it is being destroyed, so that only one
/// caller destroys it. Put back if that fails.
class removal {
 public:
  /// @throws error (stale) when it is not on the books
  removal(const device_state& device, object_kind kind, std::uint64_t key,
          std::string_view operation)
      : context_(device.context.get()), kind_(kind) {
    if (context_ == nullptr) return;
    entry_ = context_->books.remove(kind, key);
    if (entry_.empty()) throw_stale(device, kind, key, operation);
  }
  ~removal() {
    if (!entry_.empty()) context_->books.put_back(kind_, std::move(entry_));
  }
  removal(const removal&) = delete;
  removal& operator=(const removal&) = delete;

  void done() noexcept { entry_ = {}; }

 private:
  detail::device_context* context_;
  object_kind kind_;
  detail::device_books::slip entry_;
};

/// Calls an operation that makes and ends nothing.
template <class Operation, class... Arguments>
void run(const device_state& device, Operation what, Arguments... arguments) {
  const auto inside = enter(device);
  detail::call(device, what, arguments...);
}

/// As run, for one that answers a question.
template <class Answer, class Operation, class... Arguments>
Answer ask(const device_state& device, Operation what, Arguments... arguments) {
  Answer answer{};
  run(device, what, arguments..., &answer);
  return answer;
}

/// Calls an operation that makes an object of `bytes`, and puts it down.
template <class Handle, class Operation, class... Arguments>
Handle make(const device_state& device, object_kind kind, Operation what, std::uint64_t bytes,
            Arguments... arguments) {
  const auto inside = enter(device);
  new_entry line(device);
  Handle handle{};
  detail::call(device, what, arguments..., &handle);
  line.write(kind, key_of(handle), bytes);
  return handle;
}

/// Something that must be on the books.
struct object {
  object_kind kind;
  std::uint64_t key;
};

/// @throws error stale: it is not
void expect_live(const device_state& device, const object& what, std::string_view operation) {
  if (device.context && !device.context->books.contains(what.kind, what.key)) {
    throw_stale(device, what.kind, what.key, operation);
  }
}

/// Calls an operation on objects that must be live.
/// @throws error stale: one of them is not
template <class Operation, class... Arguments>
void use(const device_state& device, std::initializer_list<object> objects, Operation what,
         Arguments... arguments) {
  const auto inside = enter(device);
  for (const object& each : objects) expect_live(device, each, what.name);
  detail::call(device, what, arguments...);
}

/// Calls an operation that ends an object.
/// @throws error stale: it is gone already
template <class Handle, class Operation, class... Arguments>
void end(const device_state& device, object_kind kind, Operation what, Handle handle,
         Arguments... arguments) {
  const auto inside = enter(device);
  removal entry(device, kind, key_of(handle), what.name);
  detail::call(device, what, handle, arguments...);
  entry.done();
}

object live(stream_handle stream) {
  return {object_kind::stream, key_of(stream.value)};
}
object live(event_handle event) {
  return {object_kind::event, key_of(event.value)};
}

}  // namespace

// --- The context -------------------------------------------------------------------------------

void device::context_create() const {
  run(*state_, op::context_create);
}

void device::synchronize() const {
  // Memory without a context group is used by the CPU alone, and its caller's own work is done.
  if (supports(capability::context)) run(*state_, op::synchronize);
}

void device::pool_trim() const {
  run(*state_, op::pool_trim);
}

// --- Device memory -----------------------------------------------------------------------------

void* device::allocate(std::uint64_t bytes) const {
  return make<void*>(*state_, object_kind::allocation, op::allocate, bytes, bytes);
}

void device::deallocate(void* address, std::uint64_t bytes) const {
  end(*state_, object_kind::allocation, op::deallocate, address, bytes);
}

std::uint64_t device::vm_granularity() const {
  return ask<std::uint64_t>(*state_, op::vm_granularity);
}

void* device::vm_reserve(std::uint64_t bytes, const vm_reserve_options& options) const {
  const auto inside = enter(*state_);
  new_entry line(*state_);
  void* address = nullptr;
  if (options.wanted == nullptr) {
    detail::call(*state_, op::vm_reserve, bytes, &address);
  } else {
    detail::call(*state_, op::vm_reserve_near, bytes, options.wanted, &address);
  }
  line.write(object_kind::reservation, key_of(address), bytes, options.may_move ? 1 : 0);
  return address;
}

void device::vm_release(void* address, std::uint64_t bytes) const {
  end(*state_, object_kind::reservation, op::vm_release, address, bytes);
}

std::uint64_t device::vm_create(std::uint64_t bytes) const {
  return make<std::uint64_t>(*state_, object_kind::memory, op::vm_create, bytes, bytes);
}

void device::vm_destroy(std::uint64_t handle) const {
  end(*state_, object_kind::memory, op::vm_destroy, handle);
}

void device::vm_map(void* address, std::uint64_t bytes, std::uint64_t handle) const {
  const auto inside = enter(*state_);
  // Both may be from before a reset that dropped them.
  expect_live(*state_, {object_kind::memory, handle}, op::vm_map.name);
  if (state_->context &&
      !state_->context->books.covers(object_kind::reservation, key_of(address), bytes)) {
    throw_stale(*state_, object_kind::reservation, key_of(address), op::vm_map.name);
  }
  new_entry line(*state_);
  detail::call(*state_, op::vm_map, address, bytes, handle);
  line.write(object_kind::mapping, key_of(address), bytes, handle);
}

void device::vm_unmap(void* address, std::uint64_t bytes) const {
  end(*state_, object_kind::mapping, op::vm_unmap, address, bytes);
}

bool device::is_accessible_from(const device& peer) const {
  if (peer == *this) return true;
  if (peer.state_->backend != state_->backend) return false;
  return ask<std::int32_t>(*state_, op::peer_can_access, peer.state_->index) != 0;
}

void device::vm_set_access(void* address, std::uint64_t bytes,
                           const std::vector<device>& peers) const {
  std::vector<std::uint32_t> indices;
  for (const device& peer : peers) {
    if (peer.state_->backend != state_->backend) {
      detail::fail(status::invalid_argument, "{}: vm_set_access: {} is of another backend", name(),
                   peer.name());
    }
    indices.push_back(peer.state_->index);
  }
  use(*state_, {{object_kind::mapping, key_of(address)}}, op::vm_set_access, address, bytes,
      indices.data(), std::uint64_t{indices.size()});
}

// --- Contents ----------------------------------------------------------------------------------

void device::copy_to_host(void* host, const void* address, std::uint64_t bytes) const {
  run(*state_, op::copy_to_host, host, address, bytes);
}

void device::copy_from_host(void* address, const void* host, std::uint64_t bytes) const {
  run(*state_, op::copy_from_host, address, host, bytes);
}

void device::fill(void* address, std::byte value, std::uint64_t bytes) const {
  run(*state_, op::fill, address, static_cast<std::uint8_t>(value), bytes);
}

// --- Streams and events ------------------------------------------------------------------------

stream_handle device::stream_create() const {
  return {make<void*>(*state_, object_kind::stream, op::stream_create, 0)};
}

void device::stream_destroy(stream_handle stream) const {
  end(*state_, object_kind::stream, op::stream_destroy, stream.value);
}

void device::stream_synchronize(stream_handle stream) const {
  use(*state_, {live(stream)}, op::stream_synchronize, stream.value);
}

void device::stream_wait_event(stream_handle stream, event_handle event) const {
  use(*state_, {live(stream), live(event)}, op::stream_wait_event, stream.value, event.value);
}

void device::copy_to_host_async(stream_handle stream, void* host, const void* address,
                                std::uint64_t bytes) const {
  use(*state_, {live(stream)}, op::copy_to_host_async, stream.value, host, address, bytes);
}

void device::copy_from_host_async(stream_handle stream, void* address, const void* host,
                                  std::uint64_t bytes) const {
  use(*state_, {live(stream)}, op::copy_from_host_async, stream.value, address, host, bytes);
}

event_handle device::event_create() const {
  return {make<void*>(*state_, object_kind::event, op::event_create, 0)};
}

void device::event_destroy(event_handle event) const {
  end(*state_, object_kind::event, op::event_destroy, event.value);
}

void device::event_record(event_handle event, stream_handle stream) const {
  use(*state_, {live(event), live(stream)}, op::event_record, event.value, stream.value);
}

bool device::event_query(event_handle event) const {
  std::int32_t happened = 0;
  use(*state_, {live(event)}, op::event_query, event.value, &happened);
  return happened != 0;
}

void device::event_synchronize(event_handle event) const {
  use(*state_, {live(event)}, op::event_synchronize, event.value);
}

// --- Host memory -------------------------------------------------------------------------------

void* device::pinned_allocate(std::uint64_t bytes) const {
  return make<void*>(*state_, object_kind::pinned, op::pinned_allocate, bytes, bytes);
}

void device::pinned_free(void* address) const {
  end(*state_, object_kind::pinned, op::pinned_free, address);
}

void device::host_register(void* address, std::uint64_t bytes, host_access access) const {
  const auto inside = enter(*state_);
  const std::int32_t read_only = access == host_access::read_only ? 1 : 0;
  new_entry line(*state_);
  detail::call(*state_, op::host_register, address, bytes, read_only);
  line.write(object_kind::registration, key_of(address), bytes);
}

void device::host_unregister(void* address) const {
  end(*state_, object_kind::registration, op::host_unregister, address);
}

// --- Graphs ------------------------------------------------------------------------------------

void device::graph_adopt(void* graph_exec) const {
  require(capability::graphs, "graph_adopt");
  const auto inside = enter(*state_);
  new_entry(*state_).write(object_kind::graph, key_of(graph_exec));
}

void device::graph_destroy(void* graph_exec) const {
  end(*state_, object_kind::graph, op::graph_destroy, graph_exec);
}

void device::graph_destroy(void* graph_exec, std::uint64_t generation) const {
  require(capability::graphs, "graph_destroy");
  const auto inside = enter(*state_);
  // Looked at with no reset possible: another graph may have got the same handle since.
  if (this->generation() != generation) {
    detail::fail(status::stale, "{}: graph_destroy: a graph of generation {} is gone; this is {}",
                 name(), generation, this->generation());
  }
  new_entry line(*state_);
  graph_disown(graph_exec);
  try {
    detail::call(*state_, op::graph_destroy, graph_exec);
  } catch (const error& failure) {
    if (failure.code() == status::busy) line.write(object_kind::graph, key_of(graph_exec));
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

void device::graph_upload(void* graph_exec, stream_handle stream) const {
  use(*state_, {{object_kind::graph, key_of(graph_exec)}}, op::graph_upload, graph_exec,
      stream.value);
}

std::uint64_t device::graph_node_count(void* graph) const {
  return ask<std::uint64_t>(*state_, op::graph_node_count, graph);
}

void device::graph_trim() const {
  run(*state_, op::graph_trim);
}

}  // namespace lull
