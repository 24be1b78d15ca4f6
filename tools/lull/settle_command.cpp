#include <lull/error.hpp>
#include <lull/registry.hpp>
#include <lull/settle.hpp>

#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "demo/interrupt.hpp"
#include "duration_option.hpp"
#include "facts.hpp"
#include "text_table.hpp"

namespace lull::tool {
namespace {

using nlohmann::ordered_json;

struct settle_arguments {
  std::string devices;
  duration max_wait = settle_options{}.max_wait;
  bool watch = false;
  bool json = false;
};

/// Those that were named, or all whose memory can come late: the host's is never late.
std::vector<device> watched_devices(const registry& all, const std::string& list) {
  if (!list.empty()) return all.select(list);
  std::vector<device> chosen;
  for (const device& each : all.devices()) {
    if (each.type() != device_type::host) chosen.push_back(each);
  }
  return chosen;
}

std::string change_text(const std::optional<std::int64_t>& bytes) {
  if (!bytes) return "unknown";
  const auto size = static_cast<std::uint64_t>(*bytes < 0 ? -*bytes : *bytes);
  return (*bytes < 0 ? "-" : "+") + format_bytes(size);
}

/// Prints a line for every sample that says something new of a device.
class sample_printer {
 public:
  explicit sample_printer(const settle_arguments& how) : how_(how) {}

  void print(const settle_sample& sample) {
    for (const memory_reading& each : sample.readings) {
      const auto& free_bytes = each.memory.free_bytes;
      const auto [last, first_time] = last_.try_emplace(each.device, free_bytes);
      const bool news = first_time || last->second != free_bytes;
      last->second = free_bytes;
      if (news) print(milliseconds(sample.since_start), each.device, free_bytes);
    }
    std::fflush(stdout);
  }

 private:
  void print(double at_ms, const std::string& name,
             const std::optional<std::uint64_t>& free_bytes) const {
    if (how_.json) {
      const ordered_json line{
          {"device", name}, {"at_ms", at_ms}, {"free_bytes", bytes_json(free_bytes)}};
      fmt::print("{}\n", json_dump(ordered_json{{"sample", line}}));
    } else {
      fmt::print("{:8.1f} ms  {:<8}  {} free\n", at_ms, name, bytes_text(free_bytes));
    }
  }

  const settle_arguments& how_;
  std::map<std::string, std::optional<std::uint64_t>> last_;
};

void print_json(const settle_result& result) {
  ordered_json devices = ordered_json::array();
  for (const device_settlement& each : result.devices) {
    const auto gained = each.gained_bytes();
    devices.push_back({{"device", each.device},
                       {"verdict", to_string(each.verdict)},
                       {"free_before_bytes", bytes_json(each.before_bytes)},
                       {"free_after_bytes", bytes_json(each.after_bytes)},
                       {"gained_bytes", gained ? ordered_json(*gained) : ordered_json()},
                       {"samples", each.samples},
                       {"milliseconds", milliseconds(each.elapsed)}});
  }
  const ordered_json all{{"status", to_string(result.status)},
                         {"skip", to_string(result.skip)},
                         {"reason", text_json(result.reason)},
                         {"milliseconds", milliseconds(result.elapsed)},
                         {"devices", devices}};
  fmt::print("{}\n", json_dump(ordered_json{{"result", all}}));
}

void print_text(const settle_result& result) {
  constexpr auto right = table_column::side::right;
  text_table table({{"DEVICE"},
                    {"VERDICT"},
                    {"FREE BEFORE", right},
                    {"FREE AFTER", right},
                    {"CHANGE", right},
                    {"SAMPLES", right},
                    {"TIME", right}});
  for (const device_settlement& each : result.devices) {
    table.add({each.device, std::string(to_string(each.verdict)), bytes_text(each.before_bytes),
               bytes_text(each.after_bytes), change_text(each.gained_bytes()),
               std::to_string(each.samples), fmt::format("{:.0f} ms", milliseconds(each.elapsed))});
  }
  if (!result.devices.empty()) fmt::print("{}", table.text());
  const std::string why =
      result.status == settle_status::skipped ? std::string(to_string(result.skip)) : result.reason;
  fmt::print("{} after {:.0f} ms{}{}\n", to_string(result.status), milliseconds(result.elapsed),
             why.empty() ? "" : ": ", why);
}

/// One wait. Nothing is known of a release here, so it counts as just done.
settle_result settle_once(const std::vector<device>& devices, const settle_arguments& arguments,
                          sample_printer& printer, const std::stop_token& stop) {
  settle_options options;
  options.max_wait = arguments.max_wait;
  options.released_at = steady_clock().now();
  options.stop = stop;
  options.on_sample = [&printer](const settle_sample& sample) { printer.print(sample); };
  return settle(devices, options);
}

exit_status run(const settle_arguments& arguments) {
  const demo::interrupt_watch interrupts(patience_of_output);
  const registry all;
  const std::vector<device> devices = watched_devices(all, arguments.devices);
  sample_printer printer(arguments);
  settle_result result;
  do {
    settle_result next = settle_once(devices, arguments, printer, interrupts.token());
    // A watch ends by being interrupted, and with what it saw before that.
    if (arguments.watch && next.status == settle_status::cancelled) break;
    result = std::move(next);
    arguments.json ? print_json(result) : print_text(result);
    std::fflush(stdout);
  } while (arguments.watch && result.status != settle_status::skipped);
  // Without a device that could hold anything, nothing is missing either.
  const bool nothing_there = result.skip == settle_skip::no_device;
  return result.status == settle_status::settled || nothing_there ? exit_ok : exit_failed;
}

}  // namespace

void add_settle_command(CLI::App& app, exit_status& status) {
  auto* command = app.add_subcommand(
      "settle", "Wait until the memory that a process has released is free again");
  const auto arguments = std::make_shared<settle_arguments>();
  command->add_option("--device", arguments->devices, "Devices, separated by commas [all GPUs]");
  add_duration_option(*command, "--max-wait", arguments->max_wait, "The longest wait");
  command->add_flag("--watch", arguments->watch, "Begin anew after each end, until interrupted");
  command->add_flag("--json", arguments->json, "Print one JSON object a line: changes and results");
  command->footer(
      "The command line knows of no release, so it acts as if one had just happened: with nothing "
      "to come back it takes one look where the device is not in use, and 1 s where it is.\n"
      "Exit status: 0 settled, or there is no GPU; 1 not settled (or interrupted); 2 wrong usage.");
  command->callback([arguments, &status] { status = run(*arguments); });
}

}  // namespace lull::tool
