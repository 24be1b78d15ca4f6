#include "claims.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include <fmt/format.h>

namespace gpu_checks {
namespace {

std::optional<double> number(const json& of, const json::json_pointer& at) {
  if (!of.contains(at) || !of.at(at).is_number()) return std::nullopt;
  return of.at(at).get<double>();
}

/// Bytes, or what is said of them in words.
std::string bytes_text(const json& value) {
  return value.is_number() ? fmt::format("{} bytes", value.get<std::int64_t>()) : value.dump();
}

claim with_target(std::string text, std::optional<double> measured, const std::string& unit,
                  std::optional<double> target, bool more) {
  claim result{std::move(text), "not measured"};
  const std::string suffix = unit.empty() ? "" : ' ' + unit;
  if (measured) result.measured = fmt::format("{:.3g}{}", *measured, suffix);
  if (!target) return result;
  result.target = fmt::format("at {} {:.3g}{}", more ? "least" : "most", *target, suffix);
  if (measured) result.met = more ? *measured >= *target : *measured <= *target;
  return result;
}

using claims = std::vector<claim>;

/// Rows that a program has written itself.
void add_own(const json& rows, claims& into) {
  for (const json& each : rows) {
    if (!each.is_object()) continue;
    into.push_back(with_target(each.value("claim", "?"), number(each, "/measured"_json_pointer),
                               each.value("unit", ""), number(each, "/target"_json_pointer),
                               each.value("better", "more") == "more"));
  }
}

/// What a test says, with a figure that it notes.
struct test_claim {
  std::string_view test;
  std::string_view text;
  std::string_view property;
  std::string_view unit;
  std::string_view target;
};

constexpr test_claim test_claims[] = {
    {"AnotherProcessIsSuspendedToNothingAndGoesOn",
     "another process of 1 GiB is suspended, goes on", "suspend_ms", " ms to suspend it",
     "contents equal"},
    {"ObservingMakesNoContext", "a look at the memory makes no context", "memory_median_ms",
     " ms a look", "none"},
    {"AResetLeavesNothing", "a reset leaves nothing on the device", "residue_bytes", " bytes",
     "0 bytes"},
    {"TenCyclesDoNotDrift", "ten resets with use in between do not drift", "drift_bytes", " bytes",
     "at most 16 MiB"},
    {"TenThousandThroughACacheOf256StayFlat", "10000 graphs through a cache of 256: device",
     "cache_device_growth_bytes", " bytes more", "at most 16 MiB"},
    {"ANodeHoldsAboutWhatIsCountedForIt", "a node of a graph", "device_bytes_per_node",
     " bytes on the device", ""},
    {"GiveTheMemoryBackAndBringTheContentsHome/offload",
     "offload: contents back at their addresses", "wake_ms", " ms for 512 MiB", "equal"},
    {"GiveTheMemoryBackAndBringTheContentsHome/discard",
     "discard: contents back at their addresses", "wake_ms", " ms for 512 MiB", "equal"},
    {"GiveTheMemoryBackAndBringTheContentsHome/reset", "reset: contents back at their addresses",
     "wake_ms", " ms for 512 MiB", "equal"},
};

void add_test(const json& test, claims& into) {
  const std::string name = test.value("name", "");
  const auto* const known = std::find_if(std::begin(test_claims), std::end(test_claims),
                                         [&](const test_claim& each) { return each.test == name; });
  if (known == std::end(test_claims) || test.value("result", "") != "COMPLETED") return;
  claim row{std::string(known->text), "not measured", std::string(known->target), {}};
  const std::string property(known->property);
  if (test.contains(property)) {
    row.measured = test.value(property, "") + std::string(known->unit);
  }
  if (!row.target.empty()) row.met = !test.contains("failures");
  into.push_back(row);
}

void add_tests(const json& result, claims& into) {
  std::size_t all = 0;
  std::size_t passed = 0;
  claims notable;
  for (const json& suite : result.value("testsuites", json::array())) {
    for (const json& test : suite.value("testsuite", json::array())) {
      if (test.value("result", "") == "SUPPRESSED") continue;  // disabled: a child of another test
      ++all;
      if (test.value("result", "") == "COMPLETED" && !test.contains("failures")) ++passed;
      add_test(test, notable);
    }
  }
  into.push_back({"the tests for a GPU pass", fmt::format("{} of {}", passed, all), "all",
                  all > 0 && passed == all});
  into.insert(into.end(), notable.begin(), notable.end());
}

void add_reset_probe(const json& result, claims& into) {
  for (const json& device : result.value("devices", json::array())) {
    std::string text = "lull reset-probe: left after a reset";
    const bool with_gemm = device.contains("gemm");
    if (with_gemm) text += ", a first GEMM before it";
    const json left = device.value("residue_bytes", json(nullptr));
    claim row{std::move(text), bytes_text(left), "0 bytes", {}};
    if (with_gemm && !device.at("gemm").value("ran", false)) {
      const json problem = device.at("gemm").value("problem", json(nullptr));
      row.measured = "not measured: the GEMM did not run" +
                     (problem.is_string() ? ", " + problem.get<std::string>() : "");
    } else if (left.is_number()) {
      row.met = left.get<std::int64_t>() == 0;
    }
    into.push_back(row);
  }
}

/// Where nothing of the process is to stay. A driver keeps some MiB for itself after the first use.
claim left_by_demo(const std::string& level, const json& cycle) {
  constexpr double mib = 1 << 20;
  const bool leaves_nothing = level == "suspend" || level == "reset" || level == "rebirth";
  auto left = number(cycle, "/asleep_bytes"_json_pointer);
  if (left) *left /= mib;
  return with_target(
      fmt::format("demo, {}, asleep by {}: left on the device", level, cycle.value("cause", "?")),
      left, "MiB", leaves_nothing ? std::optional(16.0) : std::nullopt, false);
}

void add_demo(const json& result, claims& into) {
  for (const json& level : result.value("levels", json::array())) {
    for (const json& cycle : level.value("cycles", json::array())) {
      const auto wake = number(cycle, "/to_wake_seconds"_json_pointer);
      const bool same =
          cycle.value("answers_equal", false) && cycle.value("wakes_by_observing", 1) == 0;
      into.push_back({fmt::format("demo, {}, asleep by {}: same answers, one wake",
                                  level.value("level", "?"), cycle.value("cause", "?")),
                      fmt::format("{}, awake in {:.2f} s", same ? "yes" : "no", wake.value_or(0)),
                      "yes", same && cycle.value("wakes", 0) == 1});
      into.push_back(left_by_demo(level.value("level", "?"), cycle));
    }
  }
}

// Sleep and wake
// -----------------------------------------------------------------------------------

std::string gib_text(double bytes) {
  return fmt::format("{:g} GiB", bytes / static_cast<double>(std::uint64_t{1} << 30));
}

/// Its cases, each with its share of the bare pinned copy of the same run.
void add_sleep(const json& result, claims& into) {
  const std::string size = gib_text(number(result, "/bytes"_json_pointer).value_or(0));
  for (const json& each : result.value("cases", json::array())) {
    claim row = with_target(fmt::format("{}, {}", each.value("case", "?"), size),
                            number(each, "/share_of_link"_json_pointer), "of the pinned copy",
                            number(each, "/target"_json_pointer), true);
    if (const auto rate = number(each, "/gb_per_s"_json_pointer)) {
      row.measured += fmt::format(" ({:.1f} GB/s)", *rate);
    }
    into.push_back(std::move(row));
  }
  const json levels = result.value("levels", json::object());
  for (const auto& [level, cycles] : levels.items()) {
    if (!cycles.is_array() || cycles.empty()) continue;
    into.push_back({fmt::format("{}: left on the device, {} before", level, size),
                    bytes_text(cycles.back().value("left_bytes", json(nullptr)))});
  }
}

/// Medians of Google Benchmark, side by side.
void add_reset(const json& result, claims& into) {
  std::string group;
  double bare = 0;
  for (const json& each : result.value("benchmarks", json::array())) {
    if (each.value("aggregate_name", "") != "median") continue;
    const std::string name = each.value("run_name", "");
    const double milliseconds = each.value("real_time", 0.0) / 1e6;
    const std::string its_group = name.substr(0, name.find('/'));
    if (name.find("/bare vendor call") != std::string::npos) {
      group = its_group;
      bare = milliseconds;
    } else if (its_group == group) {
      into.push_back({fmt::format("{}: lull::dev_reset beside the bare call", group),
                      fmt::format("{:.1f} ms, {:.1f} ms", milliseconds, bare)});
    }
  }
}

void add_claims(const check_result& of, claims& into) {
  const std::string& name = of.what.name;
  const auto is = [&](std::string_view beginning) { return name.rfind(beginning, 0) == 0; };
  const json& result = of.result;
  if (!result.is_object()) {
    // Its rows are missed, and the reason is said in their place.
    if (of.state != check_state::passed) {
      into.push_back({name, fmt::format("not measured: {}", of.reason)});
    }
  } else if (result.contains("claims")) {
    add_own(result.at("claims"), into);
  } else if (is("tests")) {
    add_tests(result, into);
  } else if (is("reset-probe")) {
    add_reset_probe(result, into);
  } else if (is("demo")) {
    add_demo(result, into);
  } else if (is("sleep-")) {
    add_sleep(result, into);
  } else if (is("reset")) {
    add_reset(result, into);
  }
}

std::string met_text(const claim& each) {
  if (!each.met) return "-";
  return *each.met ? "met" : "NOT MET";
}

}  // namespace

std::vector<claim> claims_of(const std::vector<check_result>& results) {
  claims all;
  for (const check_result& each : results) {
    try {
      add_claims(each, all);
    } catch (const json::exception& surprise) {
      // Not a shape that is known here: said, and no reason to lose the other rows.
      all.push_back({each.what.name, fmt::format("not understood: {}", surprise.what())});
    }
  }
  return all;
}

std::string to_table(const std::vector<claim>& claims) {
  std::size_t text = 5;
  std::size_t measured = 8;
  std::size_t target = 6;
  for (const claim& each : claims) {
    text = std::max(text, each.text.size());
    measured = std::max(measured, each.measured.size());
    target = std::max(target, each.target.size());
  }
  const auto row = [&](std::string_view a, std::string_view b, std::string_view c,
                       std::string_view d) {
    return fmt::format("{:<{}}  {:<{}}  {:<{}}  {}\n", a, text, b, measured, c, target, d);
  };
  std::string table = row("CLAIM", "MEASURED", "TARGET", "MET");
  for (const claim& each : claims) {
    table += row(each.text, each.measured, each.target.empty() ? "-" : each.target, met_text(each));
  }
  return table;
}

json to_json(const std::vector<claim>& claims) {
  json rows = json::array();
  for (const claim& each : claims) {
    rows.push_back({{"claim", each.text},
                    {"measured", each.measured},
                    {"target", each.target.empty() ? json(nullptr) : json(each.target)},
                    {"met", each.met ? json(*each.met) : json(nullptr)}});
  }
  return rows;
}

}  // namespace gpu_checks
