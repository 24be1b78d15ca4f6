#ifndef LULL_BACKENDS_COMMON_RUNTIME_BACKEND_HPP
#define LULL_BACKENDS_COMMON_RUNTIME_BACKEND_HPP

/// @file
/// One backend for the vendors whose runtimes are alike. `Api` is a vendor's traits:
///
/// - types and constants: `stream`, `device_address`, `memory_handle`, `device_to_host`, ...;
/// - the functions below, each a vendor_fn that is looked up when the module is loaded;
/// - a symbol_group for each group of operations that this machine's libraries may lack;
/// - `check(result, call)`: throws backend_failure for a result that is not success;
/// - `own`: what is truly the vendor's, for as long as the backend is open: devices and their
///   facts, observing without a context, whether there is one, and the reset;
/// - `device_scope`: makes a device current for this thread while it exists, and leaves the thread
///   as it was;
/// - `cleanup_scope`: what giving up stable addresses needs instead. They outlive contexts, so it
///   makes none: a process that sleeps without a context can end without one.

#include <lull/backend.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/leftover_mappings.hpp"

namespace lull::backends {

/// Between the vendors' handle types, which are pointers here and integers there, and those of the
/// ABI.
template <class To, class From>
To handle_cast(From from) noexcept {
  static_assert(sizeof(To) == sizeof(From) && std::is_trivially_copyable_v<To>);
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

/// Whether a vendor's platform says which processes hold memory of a device.
template <class Own>
concept lists_processes = requires(Own& own, std::uint32_t device) {
  { own.processes(device) } -> std::same_as<std::vector<lull_backend_process>>;
};

template <class Own>
concept suspends_processes = requires(Own& own, int pid) {
  own.suspend_save(pid);
};

template <class Api>
class runtime_backend {
 public:
  /// @param addresses_outlive_reset whether reservations do
  /// @param own_arguments what the vendor's own part is made from
  template <class... Own>
  runtime_backend(const Api& api, bool addresses_outlive_reset, Own&&... own_arguments)
      : api_(api),
        addresses_outlive_reset_(addresses_outlive_reset),
        own_(std::forward<Own>(own_arguments)...) {}

  [[nodiscard]] std::uint32_t device_count() const noexcept { return own_.device_count(); }

  void describe(std::uint32_t device, lull_backend_device* out) {
    lull_backend_device facts{};
    facts.type = LULL_DEVICE_GPU;
    // All groups that make_ops finds here; the facts, and what a device may lack, are for `own`.
    facts.capabilities = ~(LULL_CAP_FACTS | LULL_CAP_STABLE_ADDRESSES | LULL_CAP_POOLS);
    copy_text(facts.name, std::string{Api::device_prefix} + std::to_string(device));
    if (addresses_outlive_reset_) facts.capabilities |= LULL_CAP_ADDRESSES_OUTLIVE_RESET;
    own_.describe(device, facts);
    if ((facts.capabilities & LULL_CAP_STABLE_ADDRESSES) == 0) {
      facts.capabilities &= ~std::uint64_t{LULL_CAP_PEERS | LULL_CAP_ADDRESSES_OUTLIVE_RESET};
    }
    copy_versioned(out, facts);
  }

  void memory_info(std::uint32_t device, lull_backend_memory* out) {
    lull_backend_memory figures{};
    figures.source = LULL_SOURCE_UNKNOWN;
    figures.total_bytes = figures.free_bytes = figures.used_by_process_bytes = LULL_UNKNOWN;
    own_.observe(device, figures);
    copy_versioned(out, figures);
  }

  void process_list(std::uint32_t device, lull_backend_process* list, std::uint64_t capacity,
                    std::uint64_t* count) requires lists_processes<typename Api::own> {
    const std::vector<lull_backend_process> all = own_.processes(device);
    std::copy_n(all.begin(), std::min<std::uint64_t>(capacity, all.size()), list);
    *count = all.size();
  }

  void suspend_state(std::uint32_t, std::int64_t pid, lull_gpu_state* state) {
    *state = own_.suspend_state(static_cast<int>(pid));
  }
  void suspend_lock(std::uint32_t, std::int64_t pid, std::uint32_t timeout_ms) {
    own_.suspend_lock(static_cast<int>(pid), timeout_ms);
  }
  void suspend_save(std::uint32_t, std::int64_t pid) { own_.suspend_save(static_cast<int>(pid)); }
  void suspend_restore(std::uint32_t, std::int64_t pid) {
    own_.suspend_restore(static_cast<int>(pid));
  }
  void suspend_unlock(std::uint32_t, std::int64_t pid) {
    own_.suspend_unlock(static_cast<int>(pid));
  }

  void peer_can_access(std::uint32_t device, std::uint32_t peer, std::int32_t* can) {
    int answer = peer == device ? 1 : 0;
    if (peer != device) {
      call(api_.can_access_peer, &answer, own_.driver_device(peer), own_.driver_device(device));
    }
    *can = answer;
  }

  void vm_set_access(std::uint32_t device, void* address, std::uint64_t bytes,
                     const std::uint32_t* peers, std::uint64_t peer_count) {
    const scope current(own_, device);
    std::vector<typename Api::access> wanted{access_for(device)};
    for (std::uint64_t i = 0; i < peer_count; ++i) wanted.push_back(access_for(peers[i]));
    call(api_.vm_set_access, at(address), bytes, wanted.data(), wanted.size());
  }

  void allocate(std::uint32_t device, std::uint64_t bytes, void** address) {
    expect_bytes(bytes);
    const scope current(own_, device);
    void* result = nullptr;
    call(api_.malloc, &result, bytes);
    *address = result;
  }

  void deallocate(std::uint32_t device, void* address, std::uint64_t) {
    const scope current(own_, device);
    call(api_.free, address);
  }

  void vm_granularity(std::uint32_t device, std::uint64_t* bytes) {
    std::size_t granularity = 0;
    const auto properties = memory_properties(device);
    call(api_.vm_granularity, &granularity, &properties, Api::granularity_minimum);
    *bytes = granularity;
  }

  void vm_reserve(std::uint32_t device, std::uint64_t bytes, void** address) {
    vm_reserve_near(device, bytes, nullptr, address);
  }

  void vm_reserve_near(std::uint32_t device, std::uint64_t bytes, void* wanted, void** address) {
    expect_bytes(bytes);
    const scope current(own_, device);
    [[maybe_unused]] const auto alone = own_.reserve_alone();
    typename Api::device_address range{};
    // The address is a wish to every vendor: they succeed with another one (cuda.h; hip_vm.cpp).
    call(api_.vm_reserve, &range, bytes, std::size_t{0}, at(wanted), 0ull);
    *address = handle_cast<void*>(range);
    own_.reserved(device, *address, bytes);
  }

  void vm_release(std::uint32_t device, void* address, std::uint64_t bytes) {
    const cleanup_scope current(own_, device);
    leftovers_.end_in(address, bytes, unmapping());
    if (!own_.is_lost(device, address)) call(api_.vm_release, at(address), bytes);
    own_.released(device, address);
  }

  void vm_create(std::uint32_t device, std::uint64_t bytes, std::uint64_t* handle) {
    expect_bytes(bytes);
    const scope current(own_, device);
    const auto properties = memory_properties(device);
    own_.creating(device);
    typename Api::memory_handle memory{};
    call(api_.vm_create, &memory, bytes, &properties, 0ull);
    const auto made = handle_cast<std::uint64_t>(memory);
    try {
      own_.created(device, made, bytes);
    } catch (...) {  // out of host memory
      static_cast<void>(api_.vm_destroy(memory));
      throw;
    }
    *handle = made;
  }

  void vm_destroy(std::uint32_t device, std::uint64_t handle) {
    const cleanup_scope current(own_, device);
    leftovers_.end_of(handle, unmapping());
    call(api_.vm_destroy, handle_cast<typename Api::memory_handle>(handle));
    own_.destroyed(device, handle);
  }

  void vm_map(std::uint32_t device, void* address, std::uint64_t bytes, std::uint64_t handle) {
    const scope current(own_, device);
    leftovers_.end_in(address, bytes, unmapping());
    own_.mapping_at(device, address);
    call(api_.vm_map, at(address), bytes, std::size_t{0},
         handle_cast<typename Api::memory_handle>(handle), 0ull);
    const typename Api::access access = access_for(device);
    try {
      call(api_.vm_set_access, at(address), bytes, &access, std::size_t{1});
    } catch (...) {
      // What is mapped but cannot be accessed is of no use. Should this fail too, the first failure
      // is the one to report, and it is tried again later.
      try {
        call(api_.vm_unmap, at(address), bytes);
      } catch (const backend_failure&) {
        leftovers_.add(address, bytes, handle);
      }
      throw;
    }
    own_.mapped(device, handle, address, bytes);
  }

  void vm_unmap(std::uint32_t device, void* address, std::uint64_t bytes) {
    const cleanup_scope current(own_, device);
    own_.unmapping(device, address);
    call(api_.vm_unmap, at(address), bytes);
  }

  void copy_to_host(std::uint32_t device, void* host, const void* address, std::uint64_t bytes) {
    const scope current(own_, device);
    call(api_.memcpy, host, address, bytes, Api::device_to_host);
  }

  void copy_from_host(std::uint32_t device, void* address, const void* host, std::uint64_t bytes) {
    const scope current(own_, device);
    call(api_.memcpy, address, host, bytes, Api::host_to_device);
    // From memory that is not pinned the vendor returns when the bytes are in its staging buffer
    // (as below, "memcpy").
    call(api_.stream_synchronize, typename Api::stream{});
  }

  void fill(std::uint32_t device, void* address, std::uint8_t value, std::uint64_t bytes) {
    const scope current(own_, device);
    call(api_.memset, address, int{value}, bytes);
    // Filling device memory is asynchronous to the host (CUDA Runtime API, "API synchronization
    // behavior"); the null stream orders it before what this waits for.
    call(api_.stream_synchronize, typename Api::stream{});
  }

  void stream_create(std::uint32_t device, void** stream) {
    const scope current(own_, device);
    typename Api::stream created{};
    call(api_.stream_create, &created, Api::stream_non_blocking);
    *stream = handle_cast<void*>(created);
  }

  void stream_destroy(std::uint32_t device, void* stream) {
    const scope current(own_, device);
    call(api_.stream_destroy, stream_from(stream));
  }

  void stream_synchronize(std::uint32_t device, void* stream) {
    const scope current(own_, device);
    call(api_.stream_synchronize, stream_from(stream));
  }

  void stream_wait_event(std::uint32_t device, void* stream, void* event) {
    const scope current(own_, device);
    call(api_.stream_wait_event, stream_from(stream), event_from(event), 0u);
  }

  void copy_to_host_async(std::uint32_t device, void* stream, void* host, const void* address,
                          std::uint64_t bytes) {
    const scope current(own_, device);
    call(api_.memcpy_async, host, address, bytes, Api::device_to_host, stream_from(stream));
  }

  void copy_from_host_async(std::uint32_t device, void* stream, void* address, const void* host,
                            std::uint64_t bytes) {
    const scope current(own_, device);
    call(api_.memcpy_async, address, host, bytes, Api::host_to_device, stream_from(stream));
  }

  void event_create(std::uint32_t device, void** event) {
    const scope current(own_, device);
    typename Api::event created{};
    call(api_.event_create, &created, Api::event_flags);
    *event = handle_cast<void*>(created);
  }

  void event_destroy(std::uint32_t device, void* event) {
    const scope current(own_, device);
    call(api_.event_destroy, event_from(event));
  }

  void event_record(std::uint32_t device, void* event, void* stream) {
    const scope current(own_, device);
    call(api_.event_record, event_from(event), stream_from(stream));
  }

  void event_query(std::uint32_t device, void* event, std::int32_t* happened) {
    const scope current(own_, device);
    const auto result = api_.event_query(event_from(event));
    if (result == Api::not_ready) {
      // The runtime remembers even this for its next "last error", which is the program's to call.
      static_cast<void>(api_.take_last_error());
      *happened = 0;
      return;
    }
    api_.check(result, api_.event_query.name);
    *happened = 1;
  }

  void event_synchronize(std::uint32_t device, void* event) {
    const scope current(own_, device);
    call(api_.event_synchronize, event_from(event));
  }

  void host_register(std::uint32_t device, void* address, std::uint64_t bytes,
                     std::int32_t read_only) {
    expect_bytes(bytes);
    if (read_only != 0 && Api::register_read_only == 0) {
      throw backend_failure(LULL_ERROR_UNSUPPORTED, "", 0,
                            "memory that may only be read cannot be registered here");
    }
    const scope current(own_, device);
    const unsigned flags = Api::register_portable | (read_only != 0 ? Api::register_read_only : 0u);
    call(api_.host_register, address, bytes, flags);
    own_.registered(device, address);
  }

  void host_unregister(std::uint32_t device, void* address) {
    const scope current(own_, device);
    call(api_.host_unregister, address);
    own_.unregistered(device, address);
  }

  void pinned_allocate(std::uint32_t device, std::uint64_t bytes, void** address) {
    expect_bytes(bytes);
    const scope current(own_, device);
    void* result = nullptr;
    try {
      call(api_.pinned_allocate, &result, bytes, Api::pinned_portable);
    } catch (const backend_failure& failure) {
      // The vendors have one code for both memories.
      if (failure.code() != LULL_ERROR_OUT_OF_DEVICE_MEMORY) throw;
      throw backend_failure(LULL_ERROR_OUT_OF_HOST_MEMORY, failure.call(), failure.vendor_code(),
                            failure.what());
    }
    *address = result;
  }

  void pinned_free(std::uint32_t device, void* address) {
    const scope current(own_, device);
    call(api_.pinned_free, address);
  }

  void context_create(std::uint32_t device) {
    const scope current(own_, device);
    // Freeing null is the documented way to make the runtime set itself up in the context.
    call(api_.free, static_cast<void*>(nullptr));
  }

  void context_alive(std::uint32_t device, lull_tristate* alive) {
    *alive = own_.context_alive(device);
  }

  void synchronize(std::uint32_t device) {
    if (own_.context_alive(device) == LULL_TRISTATE_NO) return;
    const scope current(own_, device);
    call(api_.device_synchronize);
  }

  void reset(std::uint32_t device) {
    if (own_.context_alive(device) == LULL_TRISTATE_NO) return;
    own_.reset(device);
  }

  void pool_trim(std::uint32_t device) {
    if (own_.context_alive(device) == LULL_TRISTATE_NO) return;
    const scope current(own_, device);
    typename Api::pool pool{};
    call(api_.pool_default, &pool, static_cast<int>(device));
    call(api_.pool_trim, pool, std::size_t{0});
  }

  void graph_destroy(std::uint32_t device, void* graph_exec) {
    const scope current(own_, device);
    own_.before_graph_destroy();
    call(api_.graph_exec_destroy, handle_cast<typename Api::graph_exec>(graph_exec));
  }

  void graph_node_count(std::uint32_t device, void* graph, std::uint64_t* nodes) {
    // A call without a device of its own may set the runtime up on whichever is current.
    const scope current(own_, device);
    std::size_t count = 0;
    call(api_.graph_nodes, handle_cast<typename Api::graph>(graph), nullptr, &count);
    *nodes = count;
  }

  void graph_upload(std::uint32_t device, void* graph_exec, void* stream) {
    const scope current(own_, device);
    call(api_.graph_upload, handle_cast<typename Api::graph_exec>(graph_exec), stream_from(stream));
  }

  void graph_trim(std::uint32_t device) {
    if (own_.context_alive(device) == LULL_TRISTATE_NO) return;
    const scope current(own_, device);
    call(api_.graph_trim, static_cast<int>(device));
  }

 private:
  using scope = typename Api::device_scope;
  using cleanup_scope = typename Api::cleanup_scope;

  template <class Function, class... Arguments>
  void call(const Function& function, Arguments... arguments) const {
    api_.check(function(arguments...), Function::name);
  }

  /// For leftovers_: unmaps, and throws where that fails.
  [[nodiscard]] auto unmapping() const {
    return [this](void* address, std::uint64_t bytes) { call(api_.vm_unmap, at(address), bytes); };
  }

  static void expect_bytes(std::uint64_t bytes) {
    if (bytes != 0) return;
    throw backend_failure(LULL_ERROR_INVALID_ARGUMENT, "", 0, "0 bytes asked for");
  }

  static typename Api::device_address at(void* address) noexcept {
    return handle_cast<typename Api::device_address>(address);
  }
  static typename Api::stream stream_from(void* stream) noexcept {
    return handle_cast<typename Api::stream>(stream);
  }
  static typename Api::event event_from(void* event) noexcept {
    return handle_cast<typename Api::event>(event);
  }

  [[nodiscard]] typename Api::access access_for(std::uint32_t device) const {
    typename Api::access access{};
    access.location.type = Api::location_device;
    access.location.id = own_.driver_device(device);
    access.flags = Api::access_read_write;
    return access;
  }

  [[nodiscard]] typename Api::memory_properties memory_properties(std::uint32_t device) const {
    typename Api::memory_properties properties{};
    properties.type = Api::memory_pinned;
    properties.location.type = Api::location_device;
    properties.location.id = own_.driver_device(device);
    return properties;
  }

  const Api& api_;
  const bool addresses_outlive_reset_;
  typename Api::own own_;
  leftover_mappings leftovers_;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_RUNTIME_BACKEND_HPP
