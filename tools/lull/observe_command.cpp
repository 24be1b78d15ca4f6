#include <lull/error.hpp>
#include <lull/registry.hpp>

#include <cstdio>
#include <ios>
#include <iostream>
#include <limits>
#include <string>

#include <fmt/format.h>

#include "commands.hpp"

namespace lull::tool {
namespace {

exit_status run() {
  const registry all;
  // What is asked does not matter, nor how long it is.
  constexpr auto any_length = std::numeric_limits<std::streamsize>::max();
  while (std::cin.ignore(any_length, '\n') && !std::cin.eof()) {
    std::string answer;
    for (const device& each : all.devices()) {
      if (each.type() == device_type::host) continue;
      try {
        const auto free = each.memory().free_bytes;
        if (!free) continue;
        answer += fmt::format("{}{} {}", answer.empty() ? "" : " ", each.name(), *free);
      } catch (const error&) {  // not known: whoever asks finds the device missing
      }
    }
    fmt::print("{}\n", answer);
    std::fflush(stdout);
  }
  return exit_ok;
}

}  // namespace

void add_observe_command(CLI::App& app, exit_status& status) {
  auto* command = app.add_subcommand(
      "observe", "For each line of input, print what is free on the GPUs, until the input ends");
  command->footer(
      "For programs that are suspended and cannot ask themselves (level 'suspend'): a line is the "
      "names of the devices, each with the bytes that are free on it.\n"
      "Exit status: 0.");
  command->callback([&status] { status = run(); });
}

}  // namespace lull::tool
