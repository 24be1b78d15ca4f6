#include <lull/error.hpp>
#include <lull/registry.hpp>
#include <lull/version.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "facts.hpp"
#include "text_table.hpp"

namespace lull::tool {
namespace {

using nlohmann::ordered_json;

/// A device's memory, or why it cannot be told. One broken device does not hide the others.
struct seen_memory {
  memory_info memory;
  std::string failure;
};

seen_memory read_memory(const device& which) {
  try {
    return {which.memory(), {}};
  } catch (const error& failure) {
    return {{}, failure.what()};
  }
}

std::vector<std::string_view> capability_names(const device& which) {
  std::vector<std::string_view> names;
  for (const capability one : which.capabilities()) names.push_back(to_string(one));
  return names;
}

/// Whether this process has a context on the device; "-" where there is no such thing.
std::string context_text(const device& which) {
  if (!which.supports(capability::context)) return "-";
  try {
    return std::string(to_string(which.context_alive()));
  } catch (const error&) {
    return "failed";
  }
}

ordered_json device_json(const device& which) {
  const seen_memory reading = read_memory(which);
  ordered_json memory = memory_json(reading.memory);
  memory["failure"] = text_json(reading.failure);
  return {{"name", which.name()},
          {"type", to_string(which.type())},
          {"backend", which.backend()},
          {"description", which.description()},
          {"pci_address", text_json(which.pci_address())},
          {"uuid", text_json(which.uuid())},
          {"capabilities", capability_names(which)},
          {"context", context_text(which)},
          {"memory", memory}};
}

ordered_json module_json(const module_info& module) {
  return {{"backend", text_json(module.backend)},
          {"path", text_json(module.path.string())},
          {"state", to_string(module.state)},
          {"score", module.score},
          {"reason", text_json(module.reason)}};
}

void print_json(const registry& all) {
  ordered_json devices = ordered_json::array();
  for (const device& one : all.devices()) devices.push_back(device_json(one));
  ordered_json modules = ordered_json::array();
  for (const module_info& one : all.modules()) modules.push_back(module_json(one));
  const ordered_json everything{
      {"lull_version", lull_version_string()}, {"devices", devices}, {"modules", modules}};
  fmt::print("{}\n", json_dump(everything, 2));
}

void print_devices(const std::vector<device>& devices) {
  constexpr auto right = table_column::side::right;
  text_table table({{"NAME"},
                    {"TYPE"},
                    {"BACKEND"},
                    {"PCI"},
                    {"TOTAL", right},
                    {"FREE", right},
                    {"USED HERE", right},
                    {"KNOWN BY"},
                    {"CONTEXT"},
                    {"DESCRIPTION"}});
  std::string failures;
  for (const device& one : devices) {
    const auto [memory, failure] = read_memory(one);
    table.add({one.name(), std::string(to_string(one.type())), std::string(one.backend()),
               one.pci_address().empty() ? "-" : one.pci_address(), bytes_text(memory.total_bytes),
               bytes_text(memory.free_bytes), bytes_text(memory.used_by_process_bytes),
               std::string(to_string(memory.source)), context_text(one), one.description()});
    if (!failure.empty()) failures += fmt::format("{}: {}\n", one.name(), failure);
  }
  fmt::print("{}{}\nCapabilities\n", table.text(), failures);
  for (const device& one : devices) {
    fmt::print("  {}: {}\n", one.name(), fmt::join(capability_names(one), ", "));
  }
}

void print_inactive_modules(const std::vector<module_info>& modules) {
  bool first = true;
  for (const module_info& one : modules) {
    if (one.state == module_state::active) continue;
    if (first) fmt::print("\nModules that are not active\n");
    first = false;
    fmt::print("  {} ({}): {}\n", one.path.empty() ? one.backend : one.path.string(),
               to_string(one.state), one.reason);
  }
}

}  // namespace

void add_devices_command(CLI::App& app, exit_status& status) {
  auto* command =
      app.add_subcommand("devices", "List the devices, and the modules that bring none");
  const auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "Print everything as JSON");
  command->callback([as_json, &status] {
    const registry all;
    if (*as_json) {
      print_json(all);
    } else {
      print_devices(all.devices());
      print_inactive_modules(all.modules());
    }
    status = exit_ok;
  });
}

}  // namespace lull::tool
