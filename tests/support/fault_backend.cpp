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

/// The name of an operation as a template argument.
template <std::size_t Size>
struct operation_name {
  constexpr operation_name(const char (&from)[Size]) { std::copy_n(from, Size, text); }
  char text[Size];
};

/// The operation of the host backend, behind the script.
template <auto Group, auto Slot, operation_name Name>
struct faulty;

template <class Ops, const Ops* lull_backend_ops::*Group, class... Arguments,
          lull_status (*Ops::*Slot)(lull_backend*, std::uint32_t, Arguments...),
          operation_name Name>
struct faulty<Group, Slot, Name> {
  static lull_status call(lull_backend* backend, std::uint32_t device, Arguments... arguments) {
    lull_backend_error* const error = std::get<sizeof...(Arguments) - 1>(std::tie(arguments...));
    if (const lull_status status = injected(Name.text, error); status != LULL_OK) return status;
    return ((backends::host_ops().*Group)->*Slot)(backend, device, arguments...);
  }
};

lull_status memory_info(lull_backend* backend, std::uint32_t device, lull_backend_memory* memory,
                        lull_backend_error* error) {
  if (const lull_status status = injected("memory_info", error); status != LULL_OK) return status;
  return backends::host_ops().memory_info(backend, device, memory, error);
}

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
    const lull_backend_ops& host = backends::host_ops();
    lull_backend_ops table = host;
    table.name = "fault";
    table.device_describe = describe;
    table.memory_info = memory_info;
    // Every group that the host backend has, each operation behind the script.
#define LULL_COPY_GROUP(group, GROUP)    \
  static lull_##group##_ops group##_ops; \
  if (host.group != nullptr) table.group = &(group##_ops = *host.group);
#define LULL_MAKE_FAULTY(group, name) \
  group##_ops.name = faulty<&lull_backend_ops::group, &lull_##group##_ops::name, #name>::call;
    LULL_BACKEND_OPERATIONS(LULL_COPY_GROUP, LULL_MAKE_FAULTY)
#undef LULL_MAKE_FAULTY
#undef LULL_COPY_GROUP
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
