#ifndef LULL_CORE_DEVICE_STATE_HPP
#define LULL_CORE_DEVICE_STATE_HPP

#include <lull/device.hpp>
#include <lull/error.hpp>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "core/device_context.hpp"
#include "core/ops_table.hpp"
#include "core/own_suspension.hpp"
#include "core/probe_thread.hpp"
#include "core/shared_object.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/raw_enum.hpp"

namespace lull::detail {

/// An opened backend. Closed, and its module unloaded, with the last device that refers to it.
class backend_instance {
 public:
  /// @throws error as the backend reports it
  backend_instance(ops_table table, shared_object library,
                   const std::vector<lull_backend_setting>& settings);
  ~backend_instance();
  backend_instance(const backend_instance&) = delete;
  backend_instance& operator=(const backend_instance&) = delete;

  [[nodiscard]] const ops_table& table() const noexcept { return table_; }
  [[nodiscard]] lull_backend* handle() const noexcept { return handle_; }
  /// Shared with all other instances of the backend.
  [[nodiscard]] own_suspension& suspension() const noexcept { return suspension_; }

 private:
  shared_object library_;  // first, so that it goes last
  ops_table table_;
  lull_backend* handle_ = nullptr;
  own_suspension& suspension_;
};

/// What a lull::device refers to. The facts are immutable.
struct device_state {
  std::shared_ptr<const backend_instance> backend;
  std::uint32_t index = 0;
  std::string name;
  std::string description;
  std::string pci_address;
  std::string uuid;
  device_type type = device_type::host;
  std::uint64_t capabilities = 0;
  std::uint64_t graph_node_bytes = 0;  ///< 0: unknown

  generation_counter* generation = nullptr;  ///< never null in a device that was described

  /// Absent where there is no context that a reset could destroy: on the host.
  std::shared_ptr<device_context> context;
  /// For questions to the platform, which may hang. One per physical device in the process.
  std::shared_ptr<probe_thread> prober;

  /// What was last said of its memory, for as long as nothing may be asked.
  mutable std::mutex last_mutex;
  mutable memory_info last_memory;
};

/// @throws error (busy)
[[noreturn]] void fail_suspended(const std::string& device_name);
/// @throws error (busy) while this process is suspended
inline void expect_not_suspended(const device_state& device) {
  if (device.backend->suspension().closed()) fail_suspended(device.name);
}

/// What the device says about its memory. May hang: call it through the prober.
/// @throws error as the backend reports it; busy: while this process is suspended
memory_info ask_memory(const backend_instance& backend, std::uint32_t index,
                       const std::string& name);

/// The exception for a failed operation of `device_name` (may be empty).
error make_error(std::int32_t code, std::string_view device_name, std::string_view operation,
                 const lull_backend_error& failure);

/// "CUDA0: vm_map threw an exception".
std::string describe_throw(std::string_view device_name, std::string_view operation);

/// Calls an operation on a device and throws what it reports; also what a module throws against the
/// ABI, as an error of ours. The caller is inside the gate.
template <auto Group, auto Slot, class... Arguments>
void call(const device_state& device, operation<Group, Slot> what, Arguments... arguments) {
  const auto slot = what.in(device.backend->table());
  lull_backend_error failure{};
  lull_status code = LULL_OK;
  try {
    code = slot(device.backend->handle(), device.index, arguments..., &failure);
  } catch (...) {
    throw current_error(status::backend, describe_throw(device.name, what.name));
  }
  if (raw(code) != LULL_OK) throw make_error(raw(code), device.name, what.name, failure);
}

/// Waits while the device is being reset; an operation under way while the result exists.
/// @throws error unsupported: in a forked child; busy: while this process is suspended
[[nodiscard]] inline device_gate::pass enter(const device_state& device) {
  expect_same_process();
  expect_not_suspended(device);
  return device.context ? device.context->gate.enter() : device_gate::pass(nullptr);
}

/// Reads what `backend` says about its device `index`.
/// @throws error bad_module: a description without a name; or as the backend reports it
std::shared_ptr<device_state> describe_device(std::shared_ptr<const backend_instance> backend,
                                              std::uint32_t index);

}  // namespace lull::detail

#endif  // LULL_CORE_DEVICE_STATE_HPP
