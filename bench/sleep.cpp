// Sleeping and waking with gigabytes on a device, each case beside the limit of the machine in the
// same run: a copy of the same bytes from and to memory that is pinned already.
// bench/torch_sleep.py does by hand what engines on PyTorch do. On the simulated GPU
// (SIMGPU=slowdown=N) it shows the pipeline, not a machine.

#include <lull/lull.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
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

double seconds(lull::duration span) {
  return std::chrono::duration<double>(span).count();
}

template <class Work>
double seconds_of(Work&& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return seconds(std::chrono::steady_clock::now() - begun);
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

/// What one way of a case took.
struct timing {
  double total_s = 0;
  std::map<std::string, double> steps;
  std::uint64_t staged_bytes = 0;
  std::string staged_because;
};

timing timing_of(double total_s, const lull::transfer_report& report) {
  timing result;
  result.total_s = total_s;
  for (const auto& step : report.steps) result.steps[step.name] += seconds(step.elapsed);
  for (const auto& each : report.devices) {
    result.staged_bytes += each.staged_bytes;
    if (!each.staged_because.empty()) result.staged_because = each.staged_because;
  }
  return result;
}

struct arguments {
  std::string device;
  std::string size = "8GiB";
  int cycles = 3;
  unsigned threads = 0;
  std::string directory = "/tmp";
  std::string output;
};

/// Regions whose bytes tell where they belong, of one tag or two.
class model {
 public:
  enum class kind { plain, from_callback, from_file };

  model(const lull::device& where, lull::memory& memory, const arguments& given, kind what,
        std::string tag, std::uint64_t total_bytes)
      : where_(where) {
    std::optional<lull::file_source> file;
    if (what == kind::from_file) file.emplace(write_file(given, total_bytes));
    std::uint64_t place = 0;
    for (const std::uint64_t bytes : mixed_sizes(total_bytes)) {
      const auto value = value_of(regions_.size());
      lull::region_options options;
      options.tag = tag;
      options.name = fmt::format("{}.{}", tag, regions_.size());
      if (what == kind::from_callback) {
        options.refill = [value](const lull::refill_target& to) { refill(to, value); };
      } else if (file) {
        options.source = lull::region_source{*file, {{0, place, bytes}}};
        options.absent = true;  // one restore brings all of them, as a load would
      }
      regions_.push_back(memory.allocate(where, bytes, std::move(options)));
      if (what != kind::from_file) {
        where.fill(regions_.back().address(), value, bytes);
      }
      place += bytes;
    }
    where.synchronize();
  }
  ~model() {
    if (!file_.empty()) std::filesystem::remove(file_);
  }
  model(const model&) = delete;
  model& operator=(const model&) = delete;

  /// @throws std::runtime_error when a region has not what was in it
  void check() {
    for (std::size_t i = 0; i < regions_.size(); ++i) {
      const auto lease = regions_[i].acquire();
      const auto* const begin = static_cast<const std::byte*>(lease.address());
      const std::uint64_t size = regions_[i].size_bytes();
      for (const std::uint64_t at : {std::uint64_t{0}, size / 2, size - 1}) {
        std::byte value{};
        where_.copy_to_host(&value, begin + at, 1);
        if (value == value_of(i)) continue;
        throw std::runtime_error(fmt::format("region {} came back with other contents", i));
      }
    }
  }

 private:
  static std::byte value_of(std::size_t number) { return static_cast<std::byte>(number % 251 + 1); }

  /// From pageable memory, as from a page cache that was mapped.
  static void refill(const lull::refill_target& to, std::byte value) {
    const std::vector<std::byte> source(std::min<std::uint64_t>(32_MiB, to.size_bytes()), value);
    for (std::uint64_t at = 0; at < to.size_bytes(); at += source.size()) {
      to.write(at, source.data(), std::min<std::uint64_t>(source.size(), to.size_bytes() - at));
    }
  }

  std::filesystem::path write_file(const arguments& given, std::uint64_t total_bytes) {
    file_ = std::filesystem::path(given.directory) / fmt::format("lull-bench-{}", ::getpid());
    std::ofstream out(file_, std::ios::binary);
    std::size_t number = 0;
    for (const std::uint64_t bytes : mixed_sizes(total_bytes)) {
      const std::vector<char> part(std::min<std::uint64_t>(bytes, 32_MiB),
                                   static_cast<char>(value_of(number++)));
      for (std::uint64_t at = 0; at < bytes; at += part.size()) {
        out.write(part.data(),
                  static_cast<std::streamsize>(std::min<std::uint64_t>(part.size(), bytes - at)));
      }
    }
    if (!out.flush()) throw std::runtime_error("cannot write " + file_.string());
    return file_;
  }

  lull::device where_;
  std::filesystem::path file_;
  std::vector<lull::region> regions_;
};

/// Measures the cases one after the other and keeps them.
class measurement {
 public:
  measurement(lull::device where, const arguments& given)
      : where_(std::move(where)), given_(given), bytes_(lull::parse_bytes(given.size)) {
    result_ = {{"device", where_.name()},  {"description", where_.description()},
               {"bytes", bytes_},          {"threads", given.threads},
               {"levels", json::object()}, {"cases", json::array()}};
  }

  json run() {
    limit();
    offload();
    prepared();
    after_a_reset();
    from_a_file();
    from_a_callback();
    swap();
    return std::move(result_);
  }

 private:
  using kind = model::kind;

  [[nodiscard]] lull::memory_options options(const lull::host_arena& arena) const {
    lull::memory_options chosen;
    chosen.arena = arena;
    chosen.threads = given_.threads;
    return chosen;
  }

  static lull::eviction_plan everything(lull::contents_action action) {
    return {.otherwise = action};
  }

  /// @param link what of the link the bytes took: 1 for one way, 2 for both
  void add(const std::string& name, bool out, const timing& took, std::optional<double> target,
           double link = 1) {
    const double gigabytes = static_cast<double>(bytes_) * link / 1e9;
    json row{{"case", name},
             {"seconds", took.total_s},
             {"gb_per_s", gigabytes / took.total_s},
             {"share_of_link", nullptr},
             {"target", target ? json(*target) : json(nullptr)},
             {"steps", took.steps},
             {"staged_bytes", took.staged_bytes},
             {"staged_because", took.staged_because}};
    const double best = out ? out_s_ : in_s_;
    if (best != 0) row["share_of_link"] = best * link / took.total_s;
    result_["cases"].push_back(std::move(row));
  }

  /// What the process holds of the device; where that is not known, what all do.
  [[nodiscard]] std::uint64_t held_bytes() const {
    const lull::memory_info seen = where_.memory();
    return seen.used_by_process_bytes.value_or(seen.total_bytes.value_or(0) -
                                               seen.free_bytes.value_or(0));
  }

  /// For who compares whole cycles with those of others.
  void add_cycle(const char* level, const timing& out, std::uint64_t left, const timing& in) {
    result_["levels"][level].push_back(
        {{"sleep_s", out.total_s}, {"wake_s", in.total_s}, {"left_bytes", left}});
  }

  timing evict(lull::memory& from, lull::contents_action action) {
    lull::transfer_report report;
    const double took = seconds_of([&] { report = from.evict(everything(action)); });
    return timing_of(took, report);
  }
  timing restore(lull::memory& to) {
    lull::transfer_report report;
    const double took = seconds_of([&] { report = to.restore(); });
    return timing_of(took, report);
  }

  /// The same bytes through memory that is pinned already, a gigabyte at a time, either way.
  void limit() {
    if (!where_.supports(lull::capability::pinned) || !where_.supports(lull::capability::streams)) {
      return;
    }
    const std::uint64_t block = std::min<std::uint64_t>(bytes_, 1_GiB);
    void* const host = where_.pinned_allocate(block);
    void* const device = where_.allocate(block);
    const auto stream = where_.stream_create();
    const auto copy = [&](bool out) {
      for (std::uint64_t at = 0; at < bytes_; at += block) {
        const std::uint64_t size = std::min(block, bytes_ - at);
        if (out) {
          where_.copy_to_host_async(stream, host, device, size);
        } else {
          where_.copy_from_host_async(stream, device, host, size);
        }
      }
      where_.stream_synchronize(stream);
    };
    copy(true);
    out_s_ = seconds_of([&] { copy(true); });
    in_s_ = seconds_of([&] { copy(false); });
    where_.stream_destroy(stream);
    where_.deallocate(device, block);
    where_.pinned_free(host);
    result_["pinned_copy"] = {{"out_s", out_s_}, {"in_s", in_s_}};
  }

  void offload() {
    const lull::host_arena arena;
    lull::memory memory(options(arena));
    model weights(where_, memory, given_, kind::plain, "weights", bytes_);
    const auto first_out = evict(memory, lull::contents_action::offload);
    add("sleep, first, nothing prepared", true, first_out, 0.45);
    const auto settled =
        seconds_of([&] { static_cast<void>(lull::settle(std::vector<lull::device>{where_}, {})); });
    result_["settle_after_sleep_s"] = settled;
    std::uint64_t left = held_bytes();
    const auto first_in = restore(memory);
    add("wake, first", false, first_in, std::nullopt);
    add_cycle("offload", first_out, left, first_in);
    for (int i = 1; i < given_.cycles; ++i) {
      const auto out = evict(memory, lull::contents_action::offload);
      left = held_bytes();
      const auto in = restore(memory);
      add_cycle("offload", out, left, in);
      if (i + 1 != given_.cycles) continue;
      add("sleep, warm", true, out, 0.95);
      add("wake, warm", false, in, 0.95);
    }
    weights.check();
  }

  void prepared() {
    if (!where_.supports(lull::capability::registration)) return;
    const lull::host_arena arena;
    lull::memory memory(options(arena));
    model weights(where_, memory, given_, kind::plain, "weights", bytes_);
    arena.prepare(where_, bytes_ + bytes_ / 32, {.threads = std::max(1u, given_.threads)});
    const double took = seconds_of([&] { arena.wait_prepared(); });
    result_["prepare_s"] = took;
    add("sleep, first, prepared", true, evict(memory, lull::contents_action::offload), 0.95);
    add("wake, prepared", false, restore(memory), 0.95);
    weights.check();
  }

  void after_a_reset() {
    if (!where_.supports(lull::capability::reset)) return;
    const lull::host_arena arena;
    lull::memory memory(options(arena));
    model weights(where_, memory, given_, kind::plain, "weights", bytes_);
    auto out = evict(memory, lull::contents_action::offload);
    const double reset_s = seconds_of([&] { static_cast<void>(lull::dev_reset(where_)); });
    const std::uint64_t left = held_bytes();
    const double context_s = seconds_of([&] { where_.context_create(); });
    result_["reset_s"] = reset_s;
    result_["context_s"] = context_s;
    auto in = restore(memory);
    add("wake after a reset", false, in, 0.80);
    out.total_s += reset_s;
    in.total_s += context_s;
    add_cycle("reset", out, left, in);
    weights.check();
  }

  void from_a_file() {
    for (const bool registered : {true, false}) {
      lull::host_arena_options how;
      // Room for staging, but for none of the file.
      if (!registered) how.budget_bytes = 512_MiB;
      const lull::host_arena arena(how);
      lull::memory memory(options(arena));
      model weights(where_, memory, given_, kind::from_file, "weights", bytes_);
      const std::string name = registered ? "source, registered" : "source, staged";
      add("load: " + name, false, restore(memory), std::nullopt);
      add("sleep: " + name, true, evict(memory, lull::contents_action::discard), std::nullopt);
      add("wake: " + name, false, restore(memory), registered ? 0.95 : 0.85);
      weights.check();
    }
  }

  void from_a_callback() {
    lull::memory memory(options(lull::host_arena{}));
    model weights(where_, memory, given_, kind::from_callback, "weights", bytes_);
    static_cast<void>(evict(memory, lull::contents_action::discard));
    static_cast<void>(restore(memory));
    const auto out = evict(memory, lull::contents_action::discard);
    const std::uint64_t left = held_bytes();
    const auto in = restore(memory);
    add("sleep: discard", true, out, std::nullopt);
    add("wake: callback", false, in, 0.60);
    add_cycle("discard", out, left, in);
    weights.check();
  }

  void swap() {
    lull::memory memory(options(lull::host_arena{}));
    const auto leave = [](const std::string& tag) {
      return lull::eviction_plan{.otherwise = lull::contents_action::keep,
                                 .by_tag = {{tag, lull::contents_action::offload}}};
    };
    model first(where_, memory, given_, kind::plain, "first", bytes_);
    static_cast<void>(memory.evict(leave("first")));
    model second(where_, memory, given_, kind::plain, "second", bytes_);
    static_cast<void>(memory.swap(leave("second"), {"first"}));
    lull::transfer_report report;
    const double took = seconds_of([&] { report = memory.swap(leave("first"), {"second"}); });
    add("swap, warm", true, timing_of(took, report), 1.75, 2);
    second.check();
    static_cast<void>(memory.swap(leave("second"), {"first"}));
    first.check();
  }

  lull::device where_;
  const arguments& given_;
  std::uint64_t bytes_;
  double out_s_ = 0;
  double in_s_ = 0;
  json result_;
};

void print_table(const json& result) {
  fmt::print("{} on {} ({})\n", lull::format_bytes(result.at("bytes").get<std::uint64_t>()),
             result.at("device").get<std::string>(), result.at("description").get<std::string>());
  fmt::print("{:<32} {:>8} {:>8} {:>8} {:>8}  steps\n", "case", "s", "GB/s", "of link", "target");
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
    fmt::print("{:<32} {:>8.3f} {:>8.2f} {:>8} {:>8} {}\n", row.at("case").get<std::string>(),
               row.at("seconds").get<double>(), row.at("gb_per_s").get<double>(),
               number(row.at("share_of_link")), number(row.at("target")), steps);
  }
}

arguments parse(int argc, char** argv) {
  arguments given;
  CLI::App app("Times sleeping and waking with gigabytes on a device.");
  app.add_option("--device", given.device, "CUDA0 (default: the first GPU, else HOST)");
  app.add_option("--size", given.size, "of the weights")->capture_default_str();
  app.add_option("--cycles", given.cycles, "of sleep and wake")
      ->capture_default_str()
      ->check(CLI::Range(2, 100));
  app.add_option("--threads", given.threads, "that populate, pin and stage (0: the default)")
      ->capture_default_str();
  app.add_option("--directory", given.directory, "where the model's file goes")
      ->capture_default_str();
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

}  // namespace

int main(int argc, char** argv) {
  const arguments given = parse(argc, argv);
  try {
    const lull::registry all;
    const json result = measurement(choose(all, given.device), given).run();
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
