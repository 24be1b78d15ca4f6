#include "support/fault_backend.hpp"

#include <lull/backend.hpp>

#include <algorithm>
#include <mutex>
#include <string_view>
#include <tuple>

#include "host/host.hpp"

namespace lull::test {
namespace {

struct script {
  std::mutex mutex;
  fault_device device;
  std::uint64_t called = 0;
  std::uint64_t first = 0;
  bool once = true;
  bool throws = false;
  lull_status status = LULL_OK;
  std::string failed;
};

script& current() {
  static script instance;
  return instance;
}

void set(std::uint64_t n, bool once, lull_status status, bool throws = false) {
  const std::lock_guard lock(current().mutex);
  current().called = 0;
  current().first = n;
  current().once = once;
  current().status = status;
  current().throws = throws;
  current().failed.clear();
}

lull_status injected(std::string_view operation, lull_backend_error* error) {
  script& now = current();
  const std::lock_guard lock(now.mutex);
  ++now.called;
  const bool hit = now.first != 0 && (now.once ? now.called == now.first : now.called >= now.first);
  if (!hit) return LULL_OK;
  now.failed = operation;
  if (now.throws) throw 4711;
  error->vendor_code = 4711;
  backends::copy_text(error->call, operation);
  backends::copy_text(error->message, "made to fail");
  return now.status;
}

/// The name of a slot as a template argument.
template <std::size_t Size>
struct slot_name {
  constexpr slot_name(const char (&from)[Size]) { std::copy_n(from, Size, text); }
  char text[Size];
};

template <auto Slot, slot_name Name>
struct faulty;

template <class... Arguments,
          lull_status (*lull_backend_ops::*Slot)(lull_backend*, std::uint32_t, Arguments...),
          slot_name Name>
struct faulty<Slot, Name> {
  static lull_status call(lull_backend* backend, std::uint32_t device, Arguments... arguments) {
    lull_backend_error* const error = std::get<sizeof...(Arguments) - 1>(std::tie(arguments...));
    if (const lull_status status = injected(Name.text, error); status != LULL_OK) return status;
    return (backends::host_ops().*Slot)(backend, device, arguments...);
  }
};

lull_status describe(lull_backend* backend, std::uint32_t device, lull_backend_device* out,
                     lull_backend_error* error) {
  const lull_status status = backends::host_ops().device_describe(backend, device, out, error);
  backends::copy_text(out->name, "FAULT0");
  out->type = LULL_DEVICE_GPU;
  const std::lock_guard lock(current().mutex);
  if (!current().device.host_accessible) {
    out->capabilities &= ~static_cast<std::uint64_t>(LULL_CAP_HOST_ACCESSIBLE);
  }
  return status;
}

}  // namespace

const lull_backend_ops& fault_ops() {
  static const lull_backend_ops ops = [] {
    lull_backend_ops table = backends::host_ops();
    using ops_t = lull_backend_ops;
    table.name = "fault";
    table.device_describe = describe;
    table.memory_info = faulty<&ops_t::memory_info, "memory_info">::call;
    table.allocate = faulty<&ops_t::allocate, "allocate">::call;
    table.deallocate = faulty<&ops_t::deallocate, "deallocate">::call;
    table.vm_granularity = faulty<&ops_t::vm_granularity, "vm_granularity">::call;
    table.vm_reserve = faulty<&ops_t::vm_reserve, "vm_reserve">::call;
    table.vm_release = faulty<&ops_t::vm_release, "vm_release">::call;
    table.vm_create = faulty<&ops_t::vm_create, "vm_create">::call;
    table.vm_destroy = faulty<&ops_t::vm_destroy, "vm_destroy">::call;
    table.vm_map = faulty<&ops_t::vm_map, "vm_map">::call;
    table.vm_unmap = faulty<&ops_t::vm_unmap, "vm_unmap">::call;
    table.copy_to_host = faulty<&ops_t::copy_to_host, "copy_to_host">::call;
    table.copy_from_host = faulty<&ops_t::copy_from_host, "copy_from_host">::call;
    table.fill = faulty<&ops_t::fill, "fill">::call;
    return table;
  }();
  return ops;
}

void set_fault_device(fault_device device) {
  const std::lock_guard lock(current().mutex);
  current().device = device;
}

void fail_operation(std::uint64_t n, lull_status status) {
  set(n, true, status);
}
void fail_operations_from(std::uint64_t n, lull_status status) {
  set(n, false, status);
}

void throw_in_operation(std::uint64_t n) {
  set(n, true, LULL_OK, true);
}

std::uint64_t operations_called() {
  const std::lock_guard lock(current().mutex);
  return current().called;
}

std::string failed_operation() {
  const std::lock_guard lock(current().mutex);
  return current().failed;
}

}  // namespace lull::test
