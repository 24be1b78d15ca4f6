#include "capi/registry.hpp"

#include "capi/device.hpp"
#include "capi/values.hpp"
#include "vocabulary/text.hpp"

using lull::capi::expect_versioned;
using lull::capi::guard;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::set_text;
using lull::capi::write_versioned;

namespace {

lull_registry_options default_registry_options() {
  const lull::registry_options from;
  lull_registry_options options{};
  options.struct_size = sizeof options;
  options.search = from.search ? 1 : 0;
  lull::capi::set_default_log(options);
  return options;
}

lull::registry_options convert(const lull_registry_options& given) {
  lull::registry_options options;
  options.module_paths = lull::capi::texts_of<std::filesystem::path>(
      given.module_paths, given.module_path_count, "options->module_paths");
  if (given.setting_count != 0) required(given.settings, "options->settings");
  for (std::size_t i = 0; i < given.setting_count; ++i) {
    const lull_setting& setting = given.settings[i];
    options.settings.push_back({&required(setting.backend, "a setting's backend"),
                                &required(setting.key, "a setting's key"),
                                &required(setting.value, "a setting's value")});
  }
  options.search = given.search != 0;
  options.log = lull::capi::log_of(given);
  return options;
}

void expect_room(const lull_module_info* info) {
  if (info != nullptr) expect_versioned(info, "info");
}

void write_module(const lull::module_info& from, lull_module_info* out) {
  if (out == nullptr) return;
  lull_module_info info{};
  info.state = static_cast<lull_module_state>(from.state);
  info.score = from.score;
  set_text(info.backend, from.backend);
  set_text(info.path, from.path.native());
  set_text(info.reason, from.reason);
  write_versioned(out, info, "info");
}

}  // namespace

void lull_registry_options_init(lull_registry_options* options) {
  if (options != nullptr) *options = default_registry_options();
}

lull_status lull_registry_create(const lull_registry_options* options, lull_registry** registry) {
  return guard([&] {
    const auto given = read_versioned(options, default_registry_options(), "options");
    auto& result = required(registry, "registry");
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
    const lull::registry& in = *required(registry, "registry").value;
    required(name, "name");
    auto& result = required(device, "device");
    result = new lull_device{in.find(name)};
  });
}

lull_status lull_registry_find_ordinal(const lull_registry* registry, const char* backend,
                                       uint32_t ordinal, lull_device** device) {
  return guard([&] {
    const lull::registry& in = *required(registry, "registry").value;
    required(backend, "backend");
    auto& result = required(device, "device");
    result = new lull_device{in.find(backend, ordinal)};
  });
}

lull_status lull_registry_select(const lull_registry* registry, const char* list,
                                 lull_device** devices, size_t capacity, size_t* count) {
  return guard([&] {
    const lull::registry& in = *required(registry, "registry").value;
    if (capacity != 0) required(devices, "devices");
    auto& total = required(count, "count");
    const auto chosen = in.select(lull::capi::text_or_empty(list));
    if (capacity != 0 && chosen.size() > capacity) {
      total = chosen.size();
      lull::detail::fail(lull::status::invalid_argument, "capacity is {}, there are {} devices",
                         capacity, chosen.size());
    }
    std::vector<std::unique_ptr<lull_device>> handles;
    for (std::size_t i = 0; i < chosen.size() && capacity != 0; ++i) {
      handles.push_back(std::make_unique<lull_device>(lull_device{chosen[i]}));
    }
    for (std::size_t i = 0; i < handles.size(); ++i) devices[i] = handles[i].release();
    total = chosen.size();
  });
}

lull_status lull_registry_load(lull_registry* registry, const char* file, lull_module_info* info) {
  return guard([&] {
    lull::registry& into = *required(registry, "registry").value;
    required(file, "file");
    expect_room(info);
    write_module(into.load(file), info);
  });
}

lull_status lull_registry_add(lull_registry* registry, const lull_backend_ops* ops,
                              lull_module_info* info) {
  return guard([&] {
    lull::registry& into = *required(registry, "registry").value;
    required(ops, "ops");
    expect_room(info);
    write_module(into.add(*ops), info);
  });
}

lull_status lull_registry_unload(lull_registry* registry, const char* backend) {
  return guard([&] {
    lull::registry& from = *required(registry, "registry").value;
    from.unload(&required(backend, "backend"));
  });
}

lull_status lull_registry_module(const lull_registry* registry, size_t index,
                                 lull_module_info* info) {
  return guard([&] {
    const lull::registry& in = *required(registry, "registry").value;
    expect_versioned(info, "info");
    const auto modules = in.modules();
    if (index >= modules.size()) {
      lull::detail::fail(lull::status::not_found, "there are {} modules", modules.size());
    }
    write_module(modules[index], info);
  });
}
