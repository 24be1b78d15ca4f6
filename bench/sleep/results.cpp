#include "results.hpp"

#include <lull/bytes.hpp>

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace sleep_bench {

using json = nlohmann::json;

void results::set_limit(const reference& taken) {
  limit_ = taken;
  limits_.push_back(taken);
}

void results::add(const std::string& name, way which, const timing& took,
                  std::optional<double> target) {
  auto found =
      std::find_if(rows_.begin(), rows_.end(), [&](const row& each) { return each.name == name; });
  if (found == rows_.end()) {
    rows_.push_back({name, target, which == way::both ? 2.0 : 1.0, {}});
    found = rows_.end() - 1;
  }
  const double best = which == way::out  ? limit_.out_s
                      : which == way::in ? limit_.in_s
                                         : limit_.out_s + limit_.in_s;
  found->samples.push_back({took, best / took.total_s});
}

void results::add_cycle(const std::string& level, const timing& out,
                        std::optional<std::uint64_t> left, const timing& in) {
  levels_[level].push_back({{"sleep_s", out.total_s},
                            {"wake_s", in.total_s},
                            {"left_bytes", left ? json(*left) : json(nullptr)}});
}

json results::row_of(const row& of) const {
  std::vector<double> total;
  std::vector<double> share;
  std::vector<double> cpu;
  std::map<std::string, std::vector<double>> steps;
  for (const sample& each : of.samples) {
    total.push_back(each.took.total_s);
    share.push_back(each.share);
    cpu.push_back(each.took.cpu_s);
    for (const auto& [name, took] : each.took.steps) steps[name].push_back(took);
  }
  json step_s = json::object();
  for (const auto& [name, took] : steps) step_s[name] = median(took);
  const timing& last = of.samples.back().took;
  return {{"case", of.name},
          {"seconds", median(total)},
          {"gb_per_s", static_cast<double>(bytes_) * of.link / 1e9 / median(total)},
          {"share_of_link", median(share)},
          {"share_lowest", *std::min_element(share.begin(), share.end())},
          {"share_highest", *std::max_element(share.begin(), share.end())},
          {"target", of.target ? json(*of.target) : json(nullptr)},
          {"cpu_s", median(cpu)},
          {"steps", step_s},
          {"staged_bytes", last.staged_bytes},
          {"staged_because", last.staged_because}};
}

json results::to_json(json facts, const std::string& limit) const {
  std::vector<double> out;
  std::vector<double> in;
  std::vector<double> cpu;
  for (const reference& each : limits_) {
    cpu.push_back(each.cpu_s);
    out.push_back(each.out_s);
    in.push_back(each.in_s);
  }
  facts[limit] = {{"out_s", median(out)}, {"in_s", median(in)}, {"cpu_s", median(cpu)}};
  facts["levels"] = levels_;
  facts["cases"] = json::array();
  for (const row& each : rows_) facts["cases"].push_back(row_of(each));
  return facts;
}

namespace {

/// Each level, with the contents of the first row of the table: the last round is the warm one.
void print_levels(const json& levels) {
  fmt::print("{:<32} {:>8} {:>8} {:>12}  (last cycle)\n", "level", "sleep s", "wake s", "left");
  for (const auto& [level, cycles] : levels.items()) {
    const json& last = cycles.back();
    const json& left = last.at("left_bytes");
    fmt::print("{:<32} {:>8.3f} {:>8.3f} {:>12}\n", level, last.at("sleep_s").get<double>(),
               last.at("wake_s").get<double>(),
               left.is_null() ? "unknown" : lull::format_bytes(left.get<std::uint64_t>()));
  }
}

}  // namespace

void print_table(const json& result) {
  fmt::print("{} on {} ({})\n", lull::format_bytes(result.at("bytes").get<std::uint64_t>()),
             result.at("device").get<std::string>(), result.at("description").get<std::string>());
  const json& limit = result.at(result.contains("pinned_copy") ? "pinned_copy" : "fresh_copy");
  fmt::print(
      "share of: {} ({:.3f} s out, {:.3f} s in, {:.2f} s of CPU one way); medians of {} rounds\n",
      result.at("reference").get<std::string>(), limit.at("out_s").get<double>(),
      limit.at("in_s").get<double>(), limit.at("cpu_s").get<double>(),
      result.at("rounds").get<int>());
  fmt::print("{:<32} {:>8} {:>8} {:>8} {:>12} {:>8} {:>7}  steps\n", "case", "s", "GB/s", "share",
             "from to", "target", "CPU s");
  const auto number = [](const json& value) {
    return value.is_null() ? std::string("-") : fmt::format("{:.2f}", value.get<double>());
  };
  for (const json& row : result.at("cases")) {
    std::string steps;
    for (const auto& [name, took] : row.at("steps").items()) {
      steps += fmt::format(" {} {:.3f}", name, took.get<double>());
    }
    if (row.at("staged_bytes") != 0) {
      steps += fmt::format("; staged {}",
                           lull::format_bytes(row.at("staged_bytes").get<std::uint64_t>()));
    }
    fmt::print("{:<32} {:>8.3f} {:>8.2f} {:>8} {:>12} {:>8} {:>7.2f} {}\n",
               row.at("case").get<std::string>(), row.at("seconds").get<double>(),
               row.at("gb_per_s").get<double>(), number(row.at("share_of_link")),
               number(row.at("share_lowest")) + " " + number(row.at("share_highest")),
               number(row.at("target")), row.at("cpu_s").get<double>(), steps);
  }
  print_levels(result.at("levels"));
}

}  // namespace sleep_bench
