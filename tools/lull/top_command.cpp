#include <lull/error.hpp>
#include <lull/registry.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "commands.hpp"
#include "demo/interrupt.hpp"
#include "duration_option.hpp"
#include "facts.hpp"
#include "process_names.hpp"
#include "text_table.hpp"

namespace lull::tool {
namespace {

struct top_arguments {
  std::string devices;
  duration interval = std::chrono::seconds{1};
  bool once = false;
};

/// What cannot be read of a device stands below the tables, and does not hide the others.
struct screen {
  text_table devices{{{"DEVICE"},
                      {"TOTAL", table_column::side::right},
                      {"USED", table_column::side::right},
                      {"FREE", table_column::side::right},
                      {"USED %", table_column::side::right},
                      {"KNOWN BY"},
                      {"DESCRIPTION"}}};
  text_table processes{{{"DEVICE"},
                        {"PID", table_column::side::right},
                        {"USED", table_column::side::right},
                        {"NAME"}}};
  std::size_t process_count = 0;
  std::string notes;

  [[nodiscard]] std::string text() const {
    std::string all = devices.text();
    if (process_count != 0) all += "\n" + processes.text();
    if (!notes.empty()) all += "\n" + notes;
    return all;
  }
};

void add_memory(const device& which, screen& into) {
  memory_info memory;
  try {
    memory = which.memory();
  } catch (const error& failure) {
    into.notes += fmt::format("{}\n", failure.what());
  }
  std::optional<std::uint64_t> used;
  std::string share = "unknown";
  if (memory.total_bytes && memory.free_bytes && *memory.total_bytes != 0) {
    used = *memory.total_bytes - std::min(*memory.total_bytes, *memory.free_bytes);
    share = fmt::format(
        "{:.1f}", 100.0 * static_cast<double>(*used) / static_cast<double>(*memory.total_bytes));
  }
  into.devices.add({which.name(), bytes_text(memory.total_bytes), bytes_text(used),
                    bytes_text(memory.free_bytes), share, std::string(to_string(memory.source)),
                    which.description()});
}

void add_processes(const device& which, screen& into) {
  if (!which.supports(capability::processes)) return;
  try {
    std::vector<device_process> all = which.processes();
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
      return a.used_bytes.value_or(0) > b.used_bytes.value_or(0);
    });
    for (const device_process& each : all) {
      into.processes.add({which.name(), std::to_string(each.id), bytes_text(each.used_bytes),
                          listed_process_name(each.id)});
    }
    into.process_count += all.size();
  } catch (const error& failure) {
    into.notes += fmt::format("{}\n", failure.what());
  }
}

screen look(const std::vector<device>& devices) {
  screen seen;
  for (const device& each : devices) {
    add_memory(each, seen);
    add_processes(each, seen);
  }
  return seen;
}

/// Draws over the last screen on a terminal; elsewhere, one after the other.
class display {
 public:
  void show(const std::string& text) {
    if (!on_terminal_) {
      if (!first_) fmt::print("\n");
      fmt::print("{}", text);
    } else {
      // The first time there is a whole screen to clear; later each line clears what it does not
      // cover, so that nothing flickers.
      fmt::print("{}{}\x1b[J", first_ ? "\x1b[2J\x1b[H" : "\x1b[H", with_cleared_ends(text));
    }
    first_ = false;
    std::fflush(stdout);
  }

 private:
  static std::string with_cleared_ends(const std::string& text) {
    std::string all;
    for (const char each : text) {
      if (each == '\n') all += "\x1b[K";
      all += each;
    }
    return all;
  }

  const bool on_terminal_ = ::isatty(STDOUT_FILENO) == 1;
  bool first_ = true;
};

exit_status run(const top_arguments& arguments) {
  const demo::interrupt_watch interrupts(patience_of_output);
  const registry all;
  const std::vector<device> devices =
      arguments.devices.empty() ? all.devices() : all.select(arguments.devices);
  if (arguments.once) {
    fmt::print("{}", look(devices).text());
    return exit_ok;
  }
  display out;
  try {
    while (true) {
      out.show(look(devices).text());
      demo::pause_for(arguments.interval, interrupts.token());
    }
  } catch (const error& failure) {
    // Being interrupted is how this ends.
    if (failure.code() != status::cancelled) throw;
  }
  return exit_ok;
}

}  // namespace

void add_top_command(CLI::App& app, exit_status& status) {
  auto* command = app.add_subcommand(
      "top", "Show the memory of devices and of the processes on them, until interrupted");
  const auto arguments = std::make_shared<top_arguments>();
  command->add_option("--device", arguments->devices, "Devices, separated by commas [all]");
  add_duration_option(*command, "--interval", arguments->interval, "Between two looks");
  command->add_flag("--once", arguments->once, "Look once and end");
  command->footer(
      "Creates no context on any device. Processes are shown where the platform lists them (CUDA, "
      "HIP), by the ids it knows them by.");
  command->callback([arguments, &status] {
    if (arguments->interval < std::chrono::milliseconds{10}) {
      throw CLI::ValidationError("--interval", "the shortest interval is 10ms");
    }
    status = run(*arguments);
  });
}

}  // namespace lull::tool
