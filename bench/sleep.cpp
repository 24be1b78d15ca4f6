// Sleeping and waking with gigabytes on a device, beside the limit of the machine: a copy of the same
// bytes through pinned memory. bench/torch_sleep.py does by hand what engines on PyTorch do.

#include <lull/lull.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace {

using namespace lull::literals;
using json = nlohmann::json;

double seconds_since(std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

template <class Work>
double seconds(Work&& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return seconds_since(begun);
}

/// As a model's tensors: mostly large ones, and many small ones between them.
std::vector<std::uint64_t> mixed_sizes(std::uint64_t total_bytes) {
  constexpr std::array<std::uint64_t, 6> sizes{512_MiB, 128_MiB, 96_MiB, 32_MiB, 8_MiB, 2_MiB};
  std::vector<std::uint64_t> result;
  for (std::size_t i = 0; total_bytes != 0; ++i) {
    result.push_back(std::min(sizes[i % sizes.size()], total_bytes));
    total_bytes -= result.back();
  }
  return result;
}

/// What one cycle of sleep and wake took. The first cycle pays for what later ones find ready.
struct cycle {
  double sleep_s = 0;
  double wake_s = 0;
  double first_work_s =
      0;  ///< from the beginning of the wake to the end of the first work after it
  std::optional<std::uint64_t> left_bytes;  ///< of the device, asleep, as the platform sees it
};

/// What the process holds of the device; where that is not known, what all do.
std::uint64_t held_bytes(const lull::device& of) {
  const lull::memory_info seen = of.memory();
  return seen.used_by_process_bytes.value_or(seen.total_bytes.value_or(0) -
                                             seen.free_bytes.value_or(0));
}

/// Weights in regions, whose bytes tell which region they are of.
class weights {
 public:
  weights(const lull::device& where, std::uint64_t total_bytes) : where_(where) {
    for (const std::uint64_t bytes : mixed_sizes(total_bytes)) {
      const auto value = static_cast<std::byte>(regions_.size() % 251 + 1);
      lull::region_options options;
      options.refill = [value](const lull::refill_target& to) { refill(to, value); };
      regions_.push_back(memory_.allocate(where, bytes, options));
      where.fill(regions_.back().acquire().address(), value, bytes);
    }
    where.synchronize();
  }
  weights(const weights&) = delete;
  weights& operator=(const weights&) = delete;

  [[nodiscard]] lull::memory& memory() noexcept { return memory_; }

  /// Stands for the first kernel: a fill of a megabyte, waited for.
  void work() {
    where_.fill(regions_.front().acquire().address(), std::byte{1}, 1_MiB);
    where_.synchronize();
  }

  /// @throws std::runtime_error when a region has not what was in it
  void check() {
    for (std::size_t i = 0; i < regions_.size(); ++i) {
      const auto lease = regions_[i].acquire();
      const auto* const begin = static_cast<const std::byte*>(lease.address());
      for (const std::uint64_t at : {std::uint64_t{0}, regions_[i].size_bytes() - 1}) {
        std::byte value{};
        where_.copy_to_host(&value, begin + at, 1);
        if (value == static_cast<std::byte>(i % 251 + 1)) continue;
        throw std::runtime_error(fmt::format("region {} came back with other contents", i));
      }
    }
  }

 private:
  /// From memory, as from a page cache that has the file.
  static void refill(const lull::refill_target& to, std::byte value) {
    constexpr std::uint64_t chunk = 32_MiB;
    const std::vector<std::byte> source(std::min(chunk, to.size_bytes()), value);
    for (std::uint64_t at = 0; at < to.size_bytes(); at += chunk) {
      to.write(at, source.data(), std::min(chunk, to.size_bytes() - at));
    }
  }

  lull::device where_;
  lull::memory memory_;
  std::vector<lull::region> regions_;
};

cycle run_cycle(const lull::device& where, weights& model, lull::sleeper& sleeper) {
  cycle result;
  result.sleep_s = seconds([&] { static_cast<void>(sleeper.sleep()); });
  // What comes back late is not held.
  static_cast<void>(lull::settle(std::vector<lull::device>{where}, {}));
  result.left_bytes = held_bytes(where);
  const auto begun = std::chrono::steady_clock::now();
  sleeper.wake();
  result.wake_s = seconds_since(begun);
  model.work();
  result.first_work_s = seconds_since(begun);
  model.check();
  return result;
}

/// The same bytes through pinned memory that is there already, at full size of the link.
json pinned_limit(const lull::device& where, std::uint64_t total_bytes) {
  if (!where.supports(lull::capability::pinned) || !where.supports(lull::capability::streams)) {
    return nullptr;
  }
  const std::uint64_t block = std::min<std::uint64_t>(total_bytes, 1_GiB);
  void* host = nullptr;
  const double pin_s = seconds([&] { host = where.pinned_allocate(block); });
  void* const device = where.allocate(block);
  const auto stream = where.stream_create();
  const auto copy = [&](bool out) {
    for (std::uint64_t at = 0; at < total_bytes; at += block) {
      const std::uint64_t bytes = std::min(block, total_bytes - at);
      if (out) {
        where.copy_to_host_async(stream, host, device, bytes);
      } else {
        where.copy_from_host_async(stream, device, host, bytes);
      }
    }
    where.stream_synchronize(stream);
  };
  copy(true);
  const double out_s = seconds([&] { copy(true); });
  const double in_s = seconds([&] { copy(false); });
  where.stream_destroy(stream);
  where.deallocate(device, block);
  where.pinned_free(host);
  const auto gib = static_cast<double>(block) / static_cast<double>(1_GiB);
  return {{"out_s", out_s}, {"in_s", in_s}, {"pin_s_per_gib", pin_s / gib}};
}

json to_json(const cycle& what) {
  return {{"sleep_s", what.sleep_s},
          {"wake_s", what.wake_s},
          {"first_work_s", what.first_work_s},
          {"left_bytes", what.left_bytes ? json(*what.left_bytes) : json(nullptr)}};
}

void print_row(const std::string& name, const json& of, double gigabytes) {
  const auto rate = [&](const char* key) { return gigabytes / of.at(key).get<double>(); };
  const auto left = of.at("left_bytes");
  fmt::print("{:<24} {:>8.3f} {:>8.2f} {:>8.3f} {:>8.2f} {:>11.3f} {:>12}\n", name,
             of.at("sleep_s").get<double>(), rate("sleep_s"), of.at("wake_s").get<double>(),
             rate("wake_s"), of.at("first_work_s").get<double>(),
             left.is_null() ? "unknown" : lull::format_bytes(left.get<std::uint64_t>()));
}

void print_table(const json& result) {
  const double gigabytes = result.at("bytes").get<double>() / 1e9;
  fmt::print("{} on {} ({})\n", lull::format_bytes(result.at("bytes").get<std::uint64_t>()),
             result.at("device").get<std::string>(), result.at("description").get<std::string>());
  fmt::print("{:<24} {:>8} {:>8} {:>8} {:>8} {:>11} {:>12}\n", "case", "sleep s", "GB/s", "wake s",
             "GB/s", "first work", "left");
  if (const json& limit = result.at("pinned_copy"); !limit.is_null()) {
    fmt::print("{:<24} {:>8.3f} {:>8.2f} {:>8.3f} {:>8.2f}\n", "pinned copy (limit)",
               limit.at("out_s").get<double>(), gigabytes / limit.at("out_s").get<double>(),
               limit.at("in_s").get<double>(), gigabytes / limit.at("in_s").get<double>());
  }
  for (const auto& [level, cycles] : result.at("levels").items()) {
    print_row(level + ", first", cycles.front(), gigabytes);
    if (cycles.size() > 1) print_row(level + ", last", cycles.back(), gigabytes);
  }
}

struct arguments {
  std::string device;
  std::string size = "8GiB";
  int cycles = 3;
  std::string output;
};

arguments parse(int argc, char** argv) {
  arguments given;
  CLI::App app("Times sleeping and waking with gigabytes on a device.");
  app.add_option("--device", given.device, "CUDA0 (default: the first GPU, else HOST)");
  app.add_option("--size", given.size, "of the weights")->capture_default_str();
  app.add_option("--cycles", given.cycles, "a level")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--output", given.output, "JSON file for the figures");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    std::exit(app.exit(failure) == 0 ? 0 : 2);
  }
  return given;
}

lull::device choose(const lull::registry& all, const std::string& named) {
  if (!named.empty()) return all.find(named);
  for (const lull::device& each : all.devices()) {
    if (each.type() == lull::device_type::gpu) return each;
  }
  return all.find("HOST");
}

json measure(const arguments& given) {
  const lull::registry all;
  const lull::device where = choose(all, given.device);
  const std::uint64_t bytes = lull::parse_bytes(given.size);
  json result{{"device", where.name()},
              {"description", where.description()},
              {"bytes", bytes},
              {"levels", json::object()}};
  result["pinned_copy"] = pinned_limit(where, bytes);
  for (const lull::sleep_level level : lull::supported_levels({where})) {
    if (level == lull::sleep_level::trim) continue;  // it keeps the weights
    weights model(where, bytes);
    lull::sleeper sleeper({.plan = lull::plan_for(level)});
    sleeper.manage(model.memory());
    json& cycles = result["levels"][std::string{to_string(level)}];
    for (int i = 0; i < given.cycles; ++i)
      cycles.push_back(to_json(run_cycle(where, model, sleeper)));
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  const arguments given = parse(argc, argv);
  try {
    const json result = measure(given);
    print_table(result);
    if (!given.output.empty()) {
      std::ofstream file(given.output);
      file << result.dump(2) << '\n' << std::flush;
      if (!file) throw std::runtime_error("cannot write '" + given.output + "'");
    }
    return 0;
  } catch (const std::exception& failure) {
    fmt::print(stderr, "bench_sleep: {}\n", failure.what());
    return 1;
  }
}
