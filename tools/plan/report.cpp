#include "plan/report.hpp"

#include <lull/bytes.hpp>

#include <fmt/format.h>

#include "text_table.hpp"

namespace lull::plan {
namespace {

using nlohmann::ordered_json;
using tool::table_column;
using tool::text_table;

constexpr auto right = table_column::side::right;

/// "CUDA0 4 GiB, HOST 1 GiB"
std::string list(const bytes_by_device& all) {
  std::string words;
  for (const auto& [device, bytes] : all) {
    if (!words.empty()) words += ", ";
    // A group has no bytes.
    words += device.starts_with("group ") ? device : device + " " + format_bytes(bytes);
  }
  return words.empty() ? "nothing" : words;
}

std::string verdict(const foresight& seen) {
  if (seen.is_ready) return "It is ready already: nothing is done.";
  switch (seen.outcome) {
    case plan_outcome::planned:
      return seen.leaving.empty()
                 ? "It fits: nobody leaves."
                 : fmt::format("It fits when {} left.",
                               seen.leaving.size() == 1 ? "one has" : "these have");
    case plan_outcome::busy:
      return "Not now: it would wait until these are done, and leave: " + seen.words;
    case plan_outcome::impossible: return "It can never fit: " + seen.words;
  }
  return {};
}

std::string device_table(const foresight& seen) {
  text_table table({{"DEVICE"},
                    {"CAPACITY", right},
                    {"MARGIN", right},
                    {"OTHERS", right},
                    {"HELD", right},
                    {"ASKED", right},
                    {"SHORT", right},
                    {"AFTER", right}});
  for (const planned_device& each : seen.devices) {
    if (each.books.name.starts_with("group ")) continue;
    table.add({each.books.name, format_bytes(each.books.capacity_bytes),
               format_bytes(each.books.margin_bytes), format_bytes(each.books.foreign_bytes),
               format_bytes(each.books.held_bytes), format_bytes(each.asked_bytes),
               format_bytes(each.missing_bytes), format_bytes(each.after_bytes)});
  }
  return table.text();
}

}  // namespace

std::string to_text(const foresight& seen) {
  std::string text = fmt::format("{} needs {} ({})\n\n{}\n{}\n", seen.model, list(seen.need),
                                 seen.need_known_by, device_table(seen), verdict(seen));
  if (!seen.leaving.empty()) {
    text_table table(
        {{"LEAVES"}, {"TO"}, {"GIVES BACK"}, {"STILL HOLDS"}, {"KEY", right}, {"WHY"}});
    for (const leaving_model& each : seen.leaving) {
      table.add({each.model, each.level, list(each.gain), list(each.left),
                 fmt::format("{:.3g}", each.key), each.why});
    }
    text += "\n" + table.text();
  }
  if (!seen.staying.empty()) {
    text_table table({{"STAYS"}, {"WHY"}});
    for (const staying_model& each : seen.staying) table.add({each.model, each.why});
    text += "\n" + table.text();
  }
  if (!seen.assumed.empty()) text += "\n";
  for (const std::string& each : seen.assumed) text += "assumed: " + each + "\n";
  return text;
}

ordered_json to_json(const foresight& seen) {
  ordered_json devices = ordered_json::array();
  for (const planned_device& each : seen.devices) {
    devices.push_back({{"name", each.books.name},
                       {"capacity_bytes", each.books.capacity_bytes},
                       {"margin_bytes", each.books.margin_bytes},
                       {"foreign_bytes", each.books.foreign_bytes},
                       {"held_bytes", each.books.held_bytes},
                       {"asked_bytes", each.asked_bytes},
                       {"missing_bytes", each.missing_bytes},
                       {"after_bytes", each.after_bytes}});
  }
  ordered_json leaving = ordered_json::array();
  for (const leaving_model& each : seen.leaving) {
    leaving.push_back({{"model", each.model},
                       {"level", each.level},
                       {"gain_bytes", each.gain},
                       {"left_bytes", each.left},
                       {"key", each.key},
                       {"why", each.why}});
  }
  ordered_json staying = ordered_json::array();
  for (const staying_model& each : seen.staying) {
    staying.push_back({{"model", each.model}, {"why", each.why}});
  }
  return {{"model", seen.model},
          {"outcome", seen.is_ready ? "ready" : std::string(to_string(seen.outcome))},
          {"words", seen.words},
          {"need_bytes", seen.need},
          {"need_known_by", seen.need_known_by},
          {"devices", devices},
          {"leaving", leaving},
          {"staying", staying},
          {"assumed", seen.assumed}};
}

}  // namespace lull::plan
