#include <lull/clock.hpp>
#include <lull/device.hpp>

#include <string.h>

#include <algorithm>
#include <utility>

#include "core/device_state.hpp"
#include "vocabulary/raw_enum.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace {

struct named_capability {
  capability what;
  std::string_view name;
};

constexpr named_capability capability_names[] = {
#define LULL_NAME(group, GROUP) {capability::group, #group},
    LULL_BACKEND_OPERATIONS(LULL_NAME, LULL_BACKEND_NOTHING)
#undef LULL_NAME
        {capability::host_accessible, "host_accessible"},
    {capability::read_only_registration, "read_only_registration"},
    {capability::addresses_outlive_reset, "addresses_outlive_reset"},
};

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

/// By id, as device::processes() says.
std::vector<device_process> convert(const std::vector<lull_backend_process>& list) {
  std::vector<device_process> processes;
  processes.reserve(list.size());
  for (const lull_backend_process& each : list) {
    processes.push_back({each.id, known(each.used_bytes)});
  }
  std::sort(processes.begin(), processes.end(),
            [](const auto& a, const auto& b) { return a.id < b.id; });
  return processes;
}

/// The processes of a device.
std::vector<device_process> ask_processes(const detail::backend_instance& backend,
                                          std::uint32_t index, const std::string& name) {
  const detail::own_suspension::question asked(backend.suspension());
  if (!asked) detail::fail_suspended(name);
  std::vector<lull_backend_process> list(32);
  std::uint64_t count = 0;
  // The list can grow between two calls, but not for ever.
  for (int attempt = 0; attempt < 4; ++attempt) {
    lull_backend_error failure{};
    const lull_status code = backend.table().processes.process_list(
        backend.handle(), index, list.data(), list.size(), &count, &failure);
    if (detail::raw(code) != LULL_OK) {
      throw detail::make_error(detail::raw(code), name, "process_list", failure);
    }
    if (count <= list.size()) {
      list.resize(count);
      return convert(list);
    }
    list.resize(count + 32);
  }
  detail::fail(status::backend, "{}: process_list: the list grew with every call", name);
}

/// Asks on the device's prober, so that a library that hangs costs the caller `limit` and no more.
template <class Ask>
auto ask_within(const detail::device_state& state, std::string_view question,
                std::chrono::milliseconds limit, Ask ask) {
  const clock& time = steady_clock();
  auto answer = state.prober->call(
      time,
      [ask, backend = state.backend, index = state.index, name = state.name] {
        return ask(*backend, index, name);
      },
      time.deadline_in(limit));
  if (answer.value) return std::move(*answer.value);
  if (answer.outcome == detail::call_outcome::still_hanging) {
    detail::fail(status::timed_out,
                 "{}: an earlier question about its memory has not been answered yet; "
                 "it is not asked again until then",
                 state.name);
  }
  detail::fail(status::timed_out, "{}: {} did not return within {} ms", state.name, question,
               limit.count());
}

/// What was known of its memory before this process was suspended. What it holds now is not known,
/// and neither is who says so.
memory_info last_known(const detail::device_state& state) {
  const std::lock_guard lock(state.last_mutex);
  memory_info known = state.last_memory;
  known.used_by_process_bytes.reset();
  known.source = memory_source::unknown;
  return known;
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

std::string_view to_string(tristate answer) noexcept {
  switch (answer) {
    case tristate::no: return "no";
    case tristate::yes: return "yes";
    case tristate::cannot_tell: return "cannot tell";
  }
  return "?";
}

std::string_view to_string(gpu_state state) noexcept {
  switch (state) {
    case gpu_state::running: return "running";
    case gpu_state::locked: return "locked";
    case gpu_state::suspended: return "suspended";
    case gpu_state::lost: return "lost";
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
    : library_(std::move(library)), table_(table), suspension_(own_suspension::of(table.ops.name)) {
  lull_backend_error failure{};
  const lull_status code = table_.ops.open(settings.data(), settings.size(), &handle_, &failure);
  if (raw(code) != LULL_OK) throw make_error(raw(code), "", "open", failure);
}

backend_instance::~backend_instance() {
  if (leak_in_forked_child(std::move(library_))) return;
  table_.ops.close(handle_);
}

void fail_suspended(const std::string& device_name) {
  fail(status::busy,
       "{}: this process is suspended, and whatever asks the driver would wait for that to end: "
       "wake it first",
       device_name);
}

std::string describe_throw(std::string_view device_name, std::string_view operation) {
  return detail::text("{}: {} threw an exception", device_name, operation);
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
  message += detail::text("{}: {}", operation, words.empty() ? text_for(code) : words);
  if (!call.empty()) message += detail::text(" ({}, code {})", call, failure.vendor_code);
  return {what, message,
          vendor_failure{std::string{device_name}, std::string{call}, failure.vendor_code,
                         std::string{words}}};
}

memory_info ask_memory(const backend_instance& backend, std::uint32_t index,
                       const std::string& name) {
  const own_suspension::question asked(backend.suspension());
  if (!asked) fail_suspended(name);
  lull_backend_memory figures{};
  lull_backend_error failure{};
  figures.struct_size = sizeof figures;
  // What an older module does not fill in is not known, rather than 0.
  figures.total_bytes = figures.free_bytes = figures.used_by_process_bytes = LULL_UNKNOWN;
  lull_status code = LULL_OK;
  try {
    code = backend.table().ops.memory_info(backend.handle(), index, &figures, &failure);
  } catch (...) {
    throw current_error(status::backend, describe_throw(name, "memory_info"));
  }
  if (raw(code) != LULL_OK) throw make_error(raw(code), name, "memory_info", failure);
  // There is no device without memory: that is no answer.
  if (figures.total_bytes == 0) figures.total_bytes = figures.free_bytes = LULL_UNKNOWN;
  return {known(figures.total_bytes), known(figures.free_bytes),
          known(figures.used_by_process_bytes), static_cast<memory_source>(figures.source)};
}

std::shared_ptr<device_state> describe_device(std::shared_ptr<const backend_instance> backend,
                                              std::uint32_t index) {
  lull_backend_device facts{};
  facts.struct_size = sizeof facts;
  lull_backend_error failure{};
  const auto& table = backend->table();
  const lull_status code = table.ops.device_describe(backend->handle(), index, &facts, &failure);
  if (raw(code) != LULL_OK)
    throw make_error(raw(code), "", detail::text("describe device {}", index), failure);
  if (facts.name[0] == '\0') {
    detail::fail(status::bad_module, "its device {} has no name", index);
  }
  auto state = std::make_shared<device_state>();
  // A table without a group cannot have it, whatever a device says; what is no group passes.
  state->capabilities = facts.capabilities & (table.groups | LULL_CAP_FACTS);
  state->index = index;
  state->name = text_of(facts.name);
  state->description = text_of(facts.description);
  state->pci_address = text_of(facts.pci_address);
  state->uuid = text_of(facts.uuid);
  state->type = static_cast<device_type>(facts.type);
  state->graph_node_bytes = facts.graph_node_bytes;
  state->backend = std::move(backend);
  // The same GPU may be known to several registries of the process, but it has one context.
  const std::string& identity = !state->uuid.empty()          ? state->uuid
                                : !state->pci_address.empty() ? state->pci_address
                                                              : state->name;
  state->generation =
      &generation_counter::of(detail::text("{}/{}", state->backend->table().ops.name, identity));
  if ((state->capabilities & LULL_CAP_CONTEXT) != 0) {
    state->context = device_context::of(*state->generation);
  }
  state->prober = state->context ? state->context->prober : std::make_shared<probe_thread>();
  return state;
}

}  // namespace detail

device::device(std::shared_ptr<detail::device_state> state) noexcept
    : state_(std::move(state)), generation_(&state_->generation->face()) {}

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
  detail::fail(status::unsupported, "{}: {} needs '{}', which this device does not have", name(),
               needed_by, to_string(what));
}

memory_info device::memory(std::chrono::milliseconds limit) const {
  detail::expect_same_process();
  if (type() == device_type::host) {
    return detail::ask_memory(*state_->backend, state_->index, name());
  }
  const detail::own_suspension& suspension = state_->backend->suspension();
  if (suspension.closed()) return last_known(*state_);
  try {
    const memory_info seen = ask_within(*state_, "memory_info", limit, &detail::ask_memory);
    const std::lock_guard lock(state_->last_mutex);
    state_->last_memory = seen;
    return seen;
  } catch (const error&) {
    if (suspension.closed()) return last_known(*state_);
    throw;
  }
}

std::vector<device_process> device::processes(std::chrono::milliseconds limit) const {
  require(capability::processes, "processes");
  detail::expect_not_suspended(*state_);
  return ask_within(*state_, "process_list", limit, &ask_processes);
}

tristate device::context_alive(std::chrono::milliseconds limit) const {
  if (!supports(capability::context)) return tristate::no;
  if (state_->backend->suspension().closed()) return tristate::cannot_tell;
  const clock& time = steady_clock();
  // Past the gate: the answer must not have to wait for a reset.
  const auto answer = state_->context->state_prober->call(
      time,
      [backend = state_->backend, index = state_->index, own_name = name()] {
        lull_tristate alive = LULL_TRISTATE_CANNOT_TELL;
        const detail::own_suspension::question asked(backend->suspension());
        if (!asked) return tristate::cannot_tell;
        lull_backend_error failure{};
        const lull_status code =
            backend->table().context.context_alive(backend->handle(), index, &alive, &failure);
        if (detail::raw(code) != LULL_OK) {
          throw detail::make_error(detail::raw(code), own_name, "context_alive", failure);
        }
        return static_cast<tristate>(alive);
      },
      time.deadline_in(limit));
  return answer.value.value_or(tristate::cannot_tell);
}

}  // namespace lull
