#include <lull/bytes.hpp>
#include <lull/error.hpp>
#include <lull/registry.hpp>
#include <lull/version.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "facts.hpp"
#include "reset_probe.hpp"
#include "text_table.hpp"

namespace lull::tool {
namespace {

using nlohmann::ordered_json;

struct reset_probe_arguments {
  reset_probe_options options;
  std::string memory = "256MiB";
  std::string devices;
  bool json = false;
};

ordered_json cycle_json(const reset_probe_cycle& cycle) {
  ordered_json steps = ordered_json::array();
  for (const step_report& each : cycle.reset.steps) {
    steps.push_back({{"name", each.name}, {"milliseconds", milliseconds(each.elapsed)}});
  }
  return {{"with_context", memory_json(cycle.with_context)},
          {"in_use", memory_json(cycle.in_use)},
          {"after", memory_json(cycle.reset.after)},
          {"generation", cycle.reset.generation},
          {"problems", cycle.reset.problems},
          {"steps", steps},
          {"milliseconds", milliseconds(cycle.reset.elapsed)}};
}

ordered_json result_json(const device& which, const reset_probe_result& result, bool gemm) {
  const auto left = result.left();
  ordered_json cycles = ordered_json::array();
  for (const reset_probe_cycle& each : result.cycles) cycles.push_back(cycle_json(each));
  ordered_json json{{"device", which.name()},
                    {"description", which.description()},
                    {"backend", which.backend()},
                    {"before", memory_json(result.before)},
                    {"context_bytes", bytes_json(result.context_bytes())},
                    {"residue_bytes", bytes_json(left.bytes)},
                    {"residue_known_by", left.known_by},
                    {"cycles", cycles}};
  if (gemm) {
    json["gemm"] = {{"ran", result.gemm.ran},
                    {"library", text_json(result.gemm.library)},
                    {"problem", text_json(result.gemm.problem)}};
  }
  return json;
}

void print_result(const device& which, const reset_probe_result& result, bool gemm) {
  fmt::print("{} ({})\n", which.name(), which.description());
  if (gemm) {
    fmt::print("  first GEMM: {}\n",
               result.gemm.ran
                   ? result.gemm.library
                   : fmt::format("did not run: {} {}", result.gemm.library, result.gemm.problem));
  }
  constexpr auto right = table_column::side::right;
  text_table table({{"  CYCLE", right},
                    {"CONTEXT", right},
                    {"IN USE", right},
                    {"AFTER RESET", right},
                    {"RESET", right},
                    {"IN ALL", right}});
  for (std::size_t i = 0; i < result.cycles.size(); ++i) {
    const reset_probe_cycle& cycle = result.cycles[i];
    duration reset{};
    for (const step_report& each : cycle.reset.steps) {
      if (each.name == "reset") reset = each.elapsed;
    }
    table.add({std::to_string(i + 1), bytes_text(cycle.with_context.used_by_process_bytes),
               bytes_text(cycle.in_use.used_by_process_bytes),
               bytes_text(cycle.reset.after.used_by_process_bytes),
               fmt::format("{:.1f} ms", milliseconds(reset)),
               fmt::format("{:.1f} ms", milliseconds(cycle.reset.elapsed))});
    for (const std::string& problem : cycle.reset.problems) {
      fmt::print(stderr, "lull reset-probe: {}: {}\n", which.name(), problem);
    }
  }
  const auto left = result.left();
  fmt::print("{}  context: {}\n  left after the reset: {} ({})\n", table.text(),
             bytes_text(result.context_bytes()), bytes_text(left.bytes), left.known_by);
}

/// All devices with a context, or those that were named.
std::vector<device> probed_devices(const registry& all, const std::string& list) {
  if (!list.empty()) return all.select(list);
  std::vector<device> with_context;
  for (const device& each : all.devices()) {
    if (each.supports(capability::reset)) with_context.push_back(each);
  }
  if (with_context.empty()) {
    throw error(status::not_found,
                "no device here has a context that could be reset; `lull devices` says why");
  }
  return with_context;
}

exit_status run(reset_probe_arguments& arguments) {
  arguments.options.memory_bytes = parse_bytes(arguments.memory);
  const registry all;
  ordered_json results = ordered_json::array();
  for (const device& which : probed_devices(all, arguments.devices)) {
    const reset_probe_result result = probe_reset(which, arguments.options);
    if (arguments.json) {
      results.push_back(result_json(which, result, arguments.options.gemm));
    } else {
      print_result(which, result, arguments.options.gemm);
    }
  }
  if (arguments.json) {
    fmt::print(
        "{}\n",
        json_dump(ordered_json{{"lull_version", lull_version_string()}, {"devices", results}}, 2));
  }
  return exit_ok;
}

}  // namespace

void add_reset_probe_command(CLI::App& app, exit_status& status) {
  auto* command = app.add_subcommand(
      "reset-probe",
      "Make a context, use memory, reset, and say what is left and how that is known");
  const auto arguments = std::make_shared<reset_probe_arguments>();
  command->add_option("--device", arguments->devices,
                      "Devices, separated by commas [all that have a context]");
  command->add_option("--memory", arguments->memory, "How much memory to use")
      ->capture_default_str();
  command->add_option("--cycles", arguments->options.cycles, "How often")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--gemm", arguments->options.gemm,
                    "Multiply matrices with the vendor's BLAS library too, where it is installed");
  command->add_flag("--json", arguments->json, "Print everything as JSON");
  command->callback([arguments, &status] { status = run(*arguments); });
}

}  // namespace lull::tool
