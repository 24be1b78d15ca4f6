#include <lull/registry.hpp>

#include "capi/guard.hpp"
#include "capi/handles.hpp"
#include "vocabulary/text.hpp"

using lull::capi::guard;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::set_text;
using lull::capi::write_versioned;

namespace {

static_assert(LULL_MODULE_REFUSED == static_cast<int>(lull::module_state::refused));

constexpr lull_registry_options default_registry_options{
    sizeof(lull_registry_options), nullptr, 0, nullptr, 0, 1, LULL_LOG_INFO, nullptr, nullptr};

lull::registry_options convert(const lull_registry_options& given) {
  lull::registry_options options;
  if (given.module_path_count != 0) required(given.module_paths, "options->module_paths");
  for (std::size_t i = 0; i < given.module_path_count; ++i) {
    options.module_paths.emplace_back(&required(given.module_paths[i], "a module path"));
  }
  if (given.setting_count != 0) required(given.settings, "options->settings");
  for (std::size_t i = 0; i < given.setting_count; ++i) {
    const lull_setting& setting = given.settings[i];
    options.settings.push_back({&required(setting.backend, "a setting's backend"),
                                &required(setting.key, "a setting's key"),
                                &required(setting.value, "a setting's value")});
  }
  options.search = given.search != 0;
  options.log = lull::capi::make_log_sink(given.log, given.log_user, given.log_threshold);
  return options;
}

void write_module(const lull::module_info& from, lull_module_info* out) {
  lull_module_info info{};
  info.state = static_cast<lull_module_state>(from.state);
  info.score = from.score;
  set_text(info.backend, from.backend);
  set_text(info.path, from.path.string());
  set_text(info.reason, from.reason);
  write_versioned(out, info, "info");
}

void expect_not_null(const void* pointer, const char* name) {
  required(static_cast<const char*>(pointer), name);
}

std::uint64_t or_unknown(const std::optional<std::uint64_t>& figure) noexcept {
  return figure.value_or(LULL_UNKNOWN);
}

}  // namespace

void lull_registry_options_init(lull_registry_options* options) {
  if (options != nullptr) *options = default_registry_options;
}

lull_status lull_registry_create(const lull_registry_options* options, lull_registry** registry) {
  return guard([&] {
    auto& result = required(registry, "registry");
    const auto given = read_versioned(options, default_registry_options, "options");
    result = new lull_registry{std::make_shared<lull::registry>(convert(given))};
  });
}

lull_status lull_registry_shared(lull_registry** registry) {
  return guard([&] {
    auto& result = required(registry, "registry");
    // Not owned: the registry of the process is never destroyed.
    result = new lull_registry{{std::shared_ptr<void>{}, &lull::registry::shared()}};
  });
}

void lull_registry_destroy(lull_registry* registry) {
  delete registry;
}

lull_status lull_registry_find(const lull_registry* registry, const char* name,
                               lull_device** device) {
  return guard([&] {
    auto& result = required(device, "device");
    result = new lull_device{required(registry, "registry").value->find(&required(name, "name"))};
  });
}

lull_status lull_registry_select(const lull_registry* registry, const char* list,
                                 lull_device** devices, size_t capacity, size_t* count) {
  return guard([&] {
    auto& total = required(count, "count");
    const auto chosen =
        required(registry, "registry").value->select(lull::capi::text_or_empty(list));
    if (capacity == 0) {
      total = chosen.size();
      return;
    }
    required(devices, "devices");
    if (chosen.size() > capacity) {
      total = chosen.size();
      lull::detail::fail(lull::status::invalid_argument, "capacity is {}, there are {} devices",
                         capacity, chosen.size());
    }
    std::vector<std::unique_ptr<lull_device>> handles;
    handles.reserve(chosen.size());
    for (const lull::device& each : chosen) {
      handles.push_back(std::make_unique<lull_device>(lull_device{each}));
    }
    for (std::size_t i = 0; i < handles.size(); ++i) devices[i] = handles[i].release();
    total = chosen.size();
  });
}

lull_status lull_registry_load(lull_registry* registry, const char* file, lull_module_info* info) {
  return guard([&] {
    const auto loaded = required(registry, "registry").value->load(&required(file, "file"));
    if (info != nullptr) write_module(loaded, info);
  });
}

lull_status lull_registry_add(lull_registry* registry, const lull_backend_ops* ops,
                              lull_module_info* info) {
  return guard([&] {
    const auto added = required(registry, "registry").value->add(required(ops, "ops"));
    if (info != nullptr) write_module(added, info);
  });
}

lull_status lull_registry_unload(lull_registry* registry, const char* backend) {
  return guard(
      [&] { required(registry, "registry").value->unload(&required(backend, "backend")); });
}

lull_status lull_registry_module(const lull_registry* registry, size_t index,
                                 lull_module_info* info) {
  return guard([&] {
    required(info, "info");
    const auto modules = required(registry, "registry").value->modules();
    if (index >= modules.size()) {
      lull::detail::fail(lull::status::not_found, "there are {} modules", modules.size());
    }
    write_module(modules[index], info);
  });
}

void lull_device_release(lull_device* device) {
  delete device;
}

lull_status lull_device_get_info(const lull_device* device, lull_device_info* info) {
  return guard([&] {
    const lull::device& from = required(device, "device").value;
    lull_device_info facts{};
    facts.type = static_cast<lull_device_type>(from.type());
    for (const lull::capability each : from.capabilities()) {
      facts.capabilities |= static_cast<std::uint64_t>(each);
    }
    set_text(facts.name, from.name());
    set_text(facts.description, from.description());
    set_text(facts.pci_address, from.pci_address());
    set_text(facts.uuid, from.uuid());
    set_text(facts.backend, from.backend());
    write_versioned(info, facts, "info");
  });
}

lull_status lull_device_get_memory(const lull_device* device, lull_memory_info* info) {
  return guard([&] {
    required(info, "info");
    const lull::memory_info from = required(device, "device").value.memory();
    lull_memory_info figures{};
    figures.source = static_cast<lull_memory_source>(from.source);
    figures.total_bytes = or_unknown(from.total_bytes);
    figures.free_bytes = or_unknown(from.free_bytes);
    figures.used_by_process_bytes = or_unknown(from.used_by_process_bytes);
    write_versioned(info, figures, "info");
  });
}

lull_status lull_device_get_processes(const lull_device* device, lull_device_process* processes,
                                      size_t capacity, size_t* count) {
  return guard([&] {
    auto& total = required(count, "count");
    if (capacity != 0) required(processes, "processes");
    const auto all = required(device, "device").value.processes();
    for (std::size_t i = 0; i < std::min(capacity, all.size()); ++i) {
      processes[i] = {all[i].id, or_unknown(all[i].used_bytes)};
    }
    total = all.size();
  });
}

lull_status lull_device_allocate(const lull_device* device, uint64_t bytes, void** address) {
  return guard([&] {
    auto& result = required(address, "address");
    result = required(device, "device").value.allocate(bytes);
  });
}

lull_status lull_device_deallocate(const lull_device* device, void* address, uint64_t bytes) {
  return guard([&] { required(device, "device").value.deallocate(address, bytes); });
}

lull_status lull_device_copy_to_host(const lull_device* device, void* host, const void* address,
                                     uint64_t bytes) {
  return guard([&] {
    const auto& from = required(device, "device").value;
    expect_not_null(host, "host");
    expect_not_null(address, "address");
    from.copy_to_host(host, address, bytes);
  });
}

lull_status lull_device_copy_from_host(const lull_device* device, void* address, const void* host,
                                       uint64_t bytes) {
  return guard([&] {
    const auto& to = required(device, "device").value;
    expect_not_null(address, "address");
    expect_not_null(host, "host");
    to.copy_from_host(address, host, bytes);
  });
}

lull_status lull_device_fill(const lull_device* device, void* address, uint8_t value,
                             uint64_t bytes) {
  return guard([&] {
    const auto& to = required(device, "device").value;
    expect_not_null(address, "address");
    to.fill(address, std::byte{value}, bytes);
  });
}
