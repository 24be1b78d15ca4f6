#include <lull/error.hpp>
#include <lull/registry.hpp>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "commands.hpp"
#include "config/reader.hpp"
#include "plan/foresight.hpp"
#include "plan/report.hpp"
#include "plan/snapshot_json.hpp"

namespace lull::tool {
namespace {

struct plan_arguments {
  std::string config;
  std::string model;
  std::string state;
  bool json = false;
};

/// @return absent: its mistakes were said
std::optional<serve::config> read_config(const std::string& file) {
  serve::reading read = serve::read_config_file(file);
  for (const serve::remark& each : read.mistakes) fmt::print(stderr, "lull: {}\n", each.text());
  if (!read.ok()) return std::nullopt;
  return std::move(read.value);
}

budget_snapshot read_state(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw error(status::io, fmt::format("{}: cannot be read", file));
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  if (in.bad()) throw error(status::io, fmt::format("{}: cannot be read", file));
  return plan::parse_snapshot(text, file);
}

/// Makes no context.
std::vector<plan::seen_device> look_at_devices() {
  std::vector<plan::seen_device> seen;
  const registry all;
  for (const device& each : all.devices()) {
    plan::seen_device made;
    made.name = each.name();
    made.gpu = each.type() != device_type::host;
    made.suspends = each.supports(capability::suspend);
    try {
      const memory_info memory = each.memory();
      made.total_bytes = memory.total_bytes;
      if (memory.total_bytes && memory.free_bytes) {
        made.used_bytes = *memory.total_bytes - std::min(*memory.free_bytes, *memory.total_bytes);
      }
    } catch (const error&) {  // not known: it is said where it matters
    }
    seen.push_back(std::move(made));
  }
  return seen;
}

exit_status run(const plan_arguments& arguments) {
  plan::circumstances now;
  auto configuration = read_config(arguments.config);
  if (!configuration) return exit_failed;
  now.configuration = std::move(*configuration);
  if (!arguments.state.empty()) now.state = read_state(arguments.state);
  now.devices = look_at_devices();
  const plan::foresight seen = plan::foresee(now, arguments.model);
  if (arguments.json) {
    fmt::print("{}\n", plan::to_json(seen).dump(2));
  } else {
    fmt::print("{}", plan::to_text(seen));
  }
  switch (seen.outcome) {
    case plan_outcome::planned: return exit_ok;
    case plan_outcome::busy: return exit_not_now;
    case plan_outcome::impossible: return exit_never;
  }
  return exit_failed;
}

}  // namespace

void add_plan_command(CLI::App& app, exit_status& status) {
  auto* command = app.add_subcommand(
      "plan", "Say what would be put away, how far and why, to load a model; nothing is done");
  const auto arguments = std::make_shared<plan_arguments>();
  command
      ->add_option("--config", arguments->config, "Configuration of a router, as `lull serve` has")
      ->required();
  command->add_option("--load", arguments->model, "Name or alias of the model")->required();
  command->add_option("--state", arguments->state,
                      "What is loaded: a budget's snapshot as JSON [nothing]");
  command->add_flag("--json", arguments->json, "Print JSON");
  command->footer(
      "What is taken to be: without --state nothing is loaded, and all that devices say is used is "
      "other programs'. With it devices hold what it says, also where this machine has none of "
      "them. A model needs what was measured when it was last loaded; else `memory` of the "
      "configuration; else what follows from the header of the GGUF file in its `cmd`, with the "
      "options of llama.cpp's server beside it. What a level leaves, where nobody says so "
      "(`left`), "
      "is nothing by the driver, and a tenth by the server's own routes.\n"
      "Exit status: 0 it fits, perhaps when others have left; 1 failed; 2 wrong usage; 3 not now, "
      "as others work; 4 never.");
  command->callback([arguments, &status] { status = run(*arguments); });
}

}  // namespace lull::tool
