#include <lull/device.hpp>

#include <string.h>

#include <array>
#include <utility>

#include <fmt/format.h>

#include "core/device_state.hpp"
#include "vocabulary/raw_enum.hpp"

namespace lull {
namespace {

constexpr std::array<std::pair<capability, std::string_view>, 11> capability_names{{
    {capability::allocate, "allocate"},
    {capability::stable_addresses, "stable_addresses"},
    {capability::copy, "copy"},
    {capability::streams, "streams"},
    {capability::pinned, "pinned"},
    {capability::context, "context"},
    {capability::reset, "reset"},
    {capability::pools, "pools"},
    {capability::graphs, "graphs"},
    {capability::suspend, "suspend"},
    {capability::host_accessible, "host_accessible"},
}};

/// A fixed field that a module filled in, which may have forgotten the zero at its end.
template <std::size_t Size>
std::string_view text_of(const char (&field)[Size]) noexcept {
  return {field, ::strnlen(field, Size)};
}

std::string_view text_for(std::int32_t code) noexcept {
  const bool known_code = code >= LULL_OK && code <= LULL_ERROR_INTERNAL;
  return known_code ? lull_status_text(static_cast<lull_status>(code)) : "unknown status";
}

std::optional<std::uint64_t> known(std::uint64_t figure) noexcept {
  return figure == LULL_UNKNOWN ? std::nullopt : std::optional{figure};
}

}  // namespace

std::string_view to_string(device_type type) noexcept {
  switch (type) {
    case device_type::host: return "host";
    case device_type::gpu: return "gpu";
    case device_type::integrated: return "integrated";
  }
  return "?";
}

std::string_view to_string(capability what) noexcept {
  for (const auto& [value, name] : capability_names) {
    if (value == what) return name;
  }
  return "?";
}

std::string_view to_string(memory_source source) noexcept {
  switch (source) {
    case memory_source::unknown: return "unknown";
    case memory_source::accounting: return "accounting";
    case memory_source::management: return "management library";
    case memory_source::kernel: return "kernel driver";
    case memory_source::runtime: return "vendor runtime";
  }
  return "?";
}

namespace detail {

backend_instance::backend_instance(ops_table table, shared_object library,
                                   const std::vector<lull_backend_setting>& settings)
    : library_(std::move(library)), table_(table) {
  lull_backend_error failure{};
  const lull_status code = table_.ops.open(settings.data(), settings.size(), &handle_, &failure);
  if (raw(code) != LULL_OK) throw make_error(raw(code), "", "open", failure);
}

backend_instance::~backend_instance() {
  table_.ops.close(handle_);
}

error make_error(std::int32_t code, std::string_view device_name, std::string_view operation,
                 const lull_backend_error& failure) {
  // A module may be newer than this library, or wrong: a code we do not know is still a failure.
  const bool known_code = code > LULL_OK && code <= LULL_ERROR_INTERNAL;
  const status what = known_code ? static_cast<status>(code) : status::backend;

  const std::string_view words = text_of(failure.message);
  const std::string_view call = text_of(failure.call);
  std::string message{device_name};
  if (!message.empty()) message += ": ";
  message += fmt::format("{}: {}", operation, words.empty() ? text_for(code) : words);
  if (!call.empty()) message += fmt::format(" ({}, code {})", call, failure.vendor_code);
  return {what, message,
          vendor_failure{std::string{device_name}, std::string{call}, failure.vendor_code,
                         std::string{words}}};
}

std::shared_ptr<device_state> describe_device(std::shared_ptr<const backend_instance> backend,
                                              std::uint32_t index) {
  lull_backend_device facts{};
  facts.struct_size = sizeof facts;
  lull_backend_error failure{};
  const auto& table = backend->table();
  const lull_status code = table.ops.device_describe(backend->handle(), index, &facts, &failure);
  if (raw(code) != LULL_OK)
    throw make_error(raw(code), "", fmt::format("describe device {}", index), failure);
  if (facts.name[0] == '\0') {
    throw error(status::bad_module, fmt::format("its device {} has no name", index));
  }
  auto state = std::make_shared<device_state>();
  // A table without a group cannot have it, whatever a device says; what is no group passes.
  constexpr std::uint64_t facts_only = LULL_CAP_HOST_ACCESSIBLE;
  state->capabilities = facts.capabilities & (table.groups | facts_only);
  state->index = index;
  state->name = text_of(facts.name);
  state->description = text_of(facts.description);
  state->pci_address = text_of(facts.pci_address);
  state->uuid = text_of(facts.uuid);
  state->type = static_cast<device_type>(facts.type);
  state->backend = std::move(backend);
  return state;
}

}  // namespace detail

device::device(std::shared_ptr<detail::device_state> state) noexcept : state_(std::move(state)) {}

const std::string& device::name() const noexcept {
  return state_->name;
}
const std::string& device::description() const noexcept {
  return state_->description;
}
device_type device::type() const noexcept {
  return state_->type;
}
const std::string& device::pci_address() const noexcept {
  return state_->pci_address;
}
const std::string& device::uuid() const noexcept {
  return state_->uuid;
}
std::string_view device::backend() const noexcept {
  return state_->backend->table().ops.name;
}

bool device::supports(capability what) const noexcept {
  return (state_->capabilities & static_cast<std::uint64_t>(what)) != 0;
}

std::vector<capability> device::capabilities() const {
  std::vector<capability> present;
  for (const auto& [value, name] : capability_names) {
    if (supports(value)) present.push_back(value);
  }
  return present;
}

void device::require(capability what, std::string_view needed_by) const {
  if (supports(what)) return;
  throw error(status::unsupported, fmt::format("{}: {} needs '{}', which this device does not have",
                                               name(), needed_by, to_string(what)));
}

memory_info device::memory() const {
  lull_backend_memory figures{};
  figures.struct_size = sizeof figures;
  // What an older module does not fill in is not known, rather than 0.
  figures.total_bytes = figures.free_bytes = figures.used_by_process_bytes = LULL_UNKNOWN;
  detail::call(*state_, "memory_info", state_->backend->table().ops.memory_info, &figures);
  return {known(figures.total_bytes), known(figures.free_bytes),
          known(figures.used_by_process_bytes), static_cast<memory_source>(figures.source)};
}

void device::synchronize() const {
  // Memory without a context group is used by the CPU alone, and its caller's own work is done.
  if (!supports(capability::context)) return;
  detail::call(*state_, "synchronize", state_->backend->table().ops.synchronize);
}

void* device::allocate(std::uint64_t bytes) const {
  void* address = nullptr;
  detail::call(*state_, "allocate", state_->backend->table().ops.allocate, bytes, &address);
  return address;
}

void device::deallocate(void* address, std::uint64_t bytes) const {
  detail::call(*state_, "deallocate", state_->backend->table().ops.deallocate, address, bytes);
}

std::uint64_t device::vm_granularity() const {
  std::uint64_t bytes = 0;
  detail::call(*state_, "vm_granularity", state_->backend->table().ops.vm_granularity, &bytes);
  return bytes;
}

void* device::vm_reserve(std::uint64_t bytes) const {
  void* address = nullptr;
  detail::call(*state_, "vm_reserve", state_->backend->table().ops.vm_reserve, bytes, &address);
  return address;
}

void device::vm_release(void* address, std::uint64_t bytes) const {
  detail::call(*state_, "vm_release", state_->backend->table().ops.vm_release, address, bytes);
}

std::uint64_t device::vm_create(std::uint64_t bytes) const {
  std::uint64_t handle = 0;
  detail::call(*state_, "vm_create", state_->backend->table().ops.vm_create, bytes, &handle);
  return handle;
}

void device::vm_destroy(std::uint64_t handle) const {
  detail::call(*state_, "vm_destroy", state_->backend->table().ops.vm_destroy, handle);
}

void device::vm_map(void* address, std::uint64_t bytes, std::uint64_t handle) const {
  detail::call(*state_, "vm_map", state_->backend->table().ops.vm_map, address, bytes, handle);
}

void device::vm_unmap(void* address, std::uint64_t bytes) const {
  detail::call(*state_, "vm_unmap", state_->backend->table().ops.vm_unmap, address, bytes);
}

void device::copy_to_host(void* host, const void* address, std::uint64_t bytes) const {
  detail::call(*state_, "copy_to_host", state_->backend->table().ops.copy_to_host, host, address,
               bytes);
}

void device::copy_from_host(void* address, const void* host, std::uint64_t bytes) const {
  detail::call(*state_, "copy_from_host", state_->backend->table().ops.copy_from_host, address,
               host, bytes);
}

void device::fill(void* address, std::byte value, std::uint64_t bytes) const {
  detail::call(*state_, "fill", state_->backend->table().ops.fill, address,
               static_cast<std::uint8_t>(value), bytes);
}

}  // namespace lull
