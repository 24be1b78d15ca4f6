// Sleeping and waking with gigabytes on a device, each case beside the limit of the machine: a copy
// of the same bytes from and to memory that is pinned already, taken just before it, in several
// rounds of all cases; medians. bench/torch_sleep.py does by hand what engines on PyTorch do. On
// the simulated GPU (SIMGPU="slowdown=N,scale=M", with --scale M) it shows the pipeline, not a
// machine.

#include <lull/lull.hpp>

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
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

/// CPU time of this process, of all its threads.
double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto of = [](const timeval& span) {
    return static_cast<double>(span.tv_sec) + static_cast<double>(span.tv_usec) / 1e6;
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

/// As a model's tensors: mostly large ones, and many small ones between them.
std::vector<std::uint64_t> mixed_sizes(std::uint64_t total_bytes, std::uint64_t scale) {
  constexpr std::array<std::uint64_t, 6> sizes{512_MiB, 128_MiB, 96_MiB, 32_MiB, 8_MiB, 2_MiB};
  std::vector<std::uint64_t> result;
  for (std::size_t i = 0; total_bytes != 0; ++i) {
    result.push_back(std::min(sizes[i % sizes.size()] / scale, total_bytes));
    total_bytes -= result.back();
  }
  return result;
}

double median(std::vector<double> of) {
  std::sort(of.begin(), of.end());
  const std::size_t middle = of.size() / 2;
  return of.size() % 2 != 0 ? of[middle] : (of[middle - 1] + of[middle]) / 2;
}

/// What one way of a case took.
struct timing {
  double total_s = 0;
  double cpu_s = 0;  ///< of all threads
  std::map<std::string, double> steps;
  std::uint64_t staged_bytes = 0;
  std::string staged_because;
};

template <class Transfer>
timing time(Transfer&& transfer) {
  timing result;
  lull::transfer_report report;
  const double cpu_before = cpu_seconds();
  result.total_s = seconds_of([&] { report = transfer(); });
  result.cpu_s = cpu_seconds() - cpu_before;
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
  std::uint64_t scale = 1;
  std::string directory = "/tmp";
  std::string output;
};

/// Regions whose bytes tell where they belong, of one tag or two.
class model {
 public:
  enum class kind { plain, from_callback, from_file };

  /// @param file that the regions are filled from, as contents_file writes it
  model(const lull::device& where, lull::memory& memory, const std::vector<std::uint64_t>& sizes,
        kind what, const std::string& tag, const std::filesystem::path& file_path = {})
      : where_(where) {
    std::optional<lull::file_source> file;
    if (what == kind::from_file) file.emplace(file_path);
    std::uint64_t place = 0;
    for (const std::uint64_t bytes : sizes) {
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

  static std::byte value_of(std::size_t number) { return static_cast<std::byte>(number % 251 + 1); }

 private:
  /// From pageable memory, as from a page cache that was mapped.
  static void refill(const lull::refill_target& to, std::byte value) {
    const std::vector<std::byte> source(std::min<std::uint64_t>(32_MiB, to.size_bytes()), value);
    for (std::uint64_t at = 0; at < to.size_bytes(); at += source.size()) {
      to.write(at, source.data(), std::min<std::uint64_t>(source.size(), to.size_bytes() - at));
    }
  }

  lull::device where_;
  std::vector<lull::region> regions_;
};

/// A file of a model's contents, away with the object.
class contents_file {
 public:
  contents_file(const std::string& directory, const std::vector<std::uint64_t>& sizes)
      : path_(std::filesystem::path(directory) / fmt::format("lull-bench-{}", ::getpid())) {
    std::ofstream out(path_, std::ios::binary);
    std::size_t number = 0;
    for (const std::uint64_t bytes : sizes) {
      const std::vector<char> part(std::min<std::uint64_t>(bytes, 32_MiB),
                                   static_cast<char>(model::value_of(number++)));
      for (std::uint64_t at = 0; at < bytes; at += part.size()) {
        out.write(part.data(),
                  static_cast<std::streamsize>(std::min<std::uint64_t>(part.size(), bytes - at)));
      }
    }
    if (!out.flush()) throw std::runtime_error("cannot write " + path_.string());
  }
  ~contents_file() { std::filesystem::remove(path_); }
  contents_file(const contents_file&) = delete;
  contents_file& operator=(const contents_file&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// The limit of the machine: what one copy of the same bytes takes, either way.
struct reference {
  double out_s = 0;
  double in_s = 0;
  double cpu_s = 0;  ///< one way
};

/// Through memory that is pinned already, some of it at a time.
reference pinned_copy(const lull::device& where, std::uint64_t bytes, std::uint64_t scale) {
  const std::uint64_t block = std::min<std::uint64_t>(bytes, 1_GiB / scale);
  const std::uint64_t chunk = 64_MiB / scale;
  auto* const host = static_cast<std::byte*>(where.pinned_allocate(block));
  auto* const device = static_cast<std::byte*>(where.allocate(block));
  const auto stream = where.stream_create();
  const auto copy = [&](bool out, std::uint64_t total) {
    for (std::uint64_t done = 0; done < total; done += chunk) {
      const std::uint64_t at = done % block;
      const std::uint64_t size = std::min({chunk, block - at, total - done});
      if (out) {
        where.copy_to_host_async(stream, host + at, device + at, size);
      } else {
        where.copy_from_host_async(stream, device + at, host + at, size);
      }
    }
    where.stream_synchronize(stream);
  };
  copy(true, block);
  reference taken;
  const double cpu_before = cpu_seconds();
  taken.out_s = seconds_of([&] { copy(true, bytes); });
  taken.cpu_s = cpu_seconds() - cpu_before;
  taken.in_s = seconds_of([&] { copy(false, bytes); });
  where.stream_destroy(stream);
  where.deallocate(device, block);
  where.pinned_free(host);
  return taken;
}

/// For the host as a device: memcpy by one thread into fresh pages, which are given back.
reference fresh_copy(const std::vector<std::uint64_t>& sizes) {
  class pages {
   public:
    explicit pages(std::uint64_t bytes) : bytes_(bytes) {
      at_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (at_ == MAP_FAILED) throw std::runtime_error("no memory for the reference");
      ::madvise(at_, bytes, MADV_HUGEPAGE);
    }
    ~pages() { ::munmap(at_, bytes_); }
    pages(const pages&) = delete;
    pages& operator=(const pages&) = delete;
    [[nodiscard]] void* at() const noexcept { return at_; }

   private:
    void* at_;
    std::uint64_t bytes_;
  };
  const pages from(*std::max_element(sizes.begin(), sizes.end()));
  std::memset(from.at(), 1, *std::max_element(sizes.begin(), sizes.end()));
  const double cpu_before = cpu_seconds();
  const double took = seconds_of([&] {
    for (const std::uint64_t bytes : sizes) {
      const pages to(bytes);
      std::memcpy(to.at(), from.at(), bytes);
    }
  });
  return {took, took, cpu_seconds() - cpu_before};
}

/// Takes every case once in each round, and keeps the medians.
class measurement {
 public:
  measurement(lull::device where, const arguments& given)
      : where_(std::move(where)),
        given_(given),
        bytes_(lull::parse_bytes(given.size)),
        sizes_(mixed_sizes(bytes_, given.scale)),
        pins_(where_.supports(lull::capability::pinned) &&
              where_.supports(lull::capability::streams) &&
              !where_.supports(lull::capability::host_accessible)) {}

  json run() {
    const contents_file file(given_.directory, sizes_);
    for (int round = 0; round < given_.cycles; ++round) {
      offload();
      if (pins_) prepared();
      if (where_.supports(lull::capability::reset)) after_a_reset();
      from_a_file(file.path());
      from_a_callback();
      if (pins_) {
        swap();
        swap_sleepers();
      }
    }
    return result();
  }

 private:
  using kind = model::kind;

  struct sample {
    timing took;
    double share = 0;
  };
  struct row {
    std::string name;
    std::optional<double> target;
    double link = 1;
    std::vector<sample> samples;
  };

  [[nodiscard]] lull::host_arena arena(std::optional<std::uint64_t> budget_bytes = {}) const {
    lull::host_arena_options how;
    how.budget_bytes = budget_bytes;
    how.slice_bytes = std::max<std::uint64_t>(how.slice_bytes / given_.scale, 2_MiB);
    return lull::host_arena(how);
  }
  [[nodiscard]] lull::memory_options options(const lull::host_arena& arena) const {
    lull::memory_options chosen;
    chosen.arena = arena;
    chosen.threads = given_.threads;
    chosen.chunk_bytes /= given_.scale;
    return chosen;
  }
  static lull::eviction_plan everything(lull::contents_action action) {
    return {.otherwise = action};
  }

  /// Taken just before the cases that it is for.
  void take_reference() {
    limit_ = pins_ ? pinned_copy(where_, bytes_, given_.scale) : fresh_copy(sizes_);
    limits_.push_back(limit_);
  }

  enum class way : std::uint8_t { out, in, both };
  void add(const std::string& name, way which, const timing& took, std::optional<double> target) {
    auto found = std::find_if(rows_.begin(), rows_.end(),
                              [&](const row& each) { return each.name == name; });
    if (found == rows_.end()) {
      rows_.push_back({name, target, which == way::both ? 2.0 : 1.0, {}});
      found = rows_.end() - 1;
    }
    const double best = which == way::out  ? limit_.out_s
                        : which == way::in ? limit_.in_s
                                           : limit_.out_s + limit_.in_s;
    found->samples.push_back({took, best / took.total_s});
  }

  /// What the process holds of the device; where that is not known, what all do.
  [[nodiscard]] std::uint64_t held_bytes() const {
    const lull::memory_info seen = where_.memory();
    return seen.used_by_process_bytes.value_or(seen.total_bytes.value_or(0) -
                                               seen.free_bytes.value_or(0));
  }

  /// For who compares whole cycles with those of others.
  void add_cycle(const char* level, const timing& out, std::uint64_t left, const timing& in) {
    levels_[level].push_back(
        {{"sleep_s", out.total_s}, {"wake_s", in.total_s}, {"left_bytes", left}});
  }

  static timing evict(lull::memory& from, lull::contents_action action) {
    return time([&] { return from.evict(everything(action)); });
  }
  static timing restore(lull::memory& to) {
    return time([&] { return to.restore(); });
  }

  void offload() {
    lull::memory memory(options(arena()));
    model weights(where_, memory, sizes_, kind::plain, "weights");
    take_reference();
    for (const bool first : {true, false}) {
      const auto out = evict(memory, lull::contents_action::offload);
      const std::uint64_t left = held_bytes();
      settle_s_.push_back(seconds_of(
          [&] { static_cast<void>(lull::settle(std::vector<lull::device>{where_}, {})); }));
      const auto in = restore(memory);
      add_cycle("offload", out, left, in);
      const std::optional<double> warm_in = pins_ ? 0.95 : 0.90;
      add(first ? "sleep, first, nothing prepared" : "sleep, warm", way::out, out,
          !pins_   ? std::nullopt
          : !first ? std::optional(0.95)
                   : std::optional(0.45));
      add(first ? "wake, first" : "wake, warm", way::in, in, first ? std::nullopt : warm_in);
    }
    weights.check();
  }

  void prepared() {
    const lull::host_arena ready = arena();
    lull::memory memory(options(ready));
    model weights(where_, memory, sizes_, kind::plain, "weights");
    ready.prepare(where_, bytes_ + bytes_ / 32, {.threads = std::max(1u, given_.threads)});
    prepare_s_.push_back(seconds_of([&] { ready.wait_prepared(); }));
    take_reference();
    add("sleep, first, prepared", way::out, evict(memory, lull::contents_action::offload), 0.95);
    add("wake, prepared", way::in, restore(memory), 0.95);
    weights.check();
  }

  void after_a_reset() {
    lull::memory memory(options(arena()));
    model weights(where_, memory, sizes_, kind::plain, "weights");
    take_reference();
    auto out = evict(memory, lull::contents_action::offload);
    const double reset_s = seconds_of([&] { static_cast<void>(lull::dev_reset(where_)); });
    const std::uint64_t left = held_bytes();
    const double context_s = seconds_of([&] { where_.context_create(); });
    auto in = restore(memory);
    add("wake after a reset", way::in, in, 0.80);
    out.total_s += reset_s;
    in.total_s += context_s;
    add_cycle("reset", out, left, in);
    weights.check();
  }

  void from_a_file(const std::filesystem::path& path) {
    for (const bool registered : {true, false}) {
      if (registered && !where_.supports(lull::capability::read_only_registration)) continue;
      // Room for staging, but for little of the file.
      const auto budget = registered ? std::nullopt : std::optional(bytes_ / 16);
      lull::memory memory(options(arena(budget)));
      model weights(where_, memory, sizes_, kind::from_file, "weights", path);
      take_reference();
      const std::string name = registered ? "source, registered" : "source, staged";
      add("load: " + name, way::in, restore(memory), std::nullopt);
      add("sleep: " + name, way::out, evict(memory, lull::contents_action::discard), std::nullopt);
      add("wake: " + name, way::in, restore(memory), registered ? 0.95 : 0.85);
      weights.check();
    }
  }

  void from_a_callback() {
    lull::memory memory(options(arena()));
    model weights(where_, memory, sizes_, kind::from_callback, "weights");
    static_cast<void>(evict(memory, lull::contents_action::discard));
    static_cast<void>(restore(memory));
    take_reference();
    const auto out = evict(memory, lull::contents_action::discard);
    const std::uint64_t left = held_bytes();
    const auto in = restore(memory);
    add("sleep: discard", way::out, out, std::nullopt);
    add("wake: callback", way::in, in, pins_ ? std::optional(0.60) : std::nullopt);
    add_cycle("discard", out, left, in);
    weights.check();
  }

  void swap() {
    lull::memory memory(options(arena()));
    const auto leave = [](const std::string& tag) {
      return lull::eviction_plan{.otherwise = lull::contents_action::keep,
                                 .by_tag = {{tag, lull::contents_action::offload}}};
    };
    model first(where_, memory, sizes_, kind::plain, "first");
    static_cast<void>(memory.evict(leave("first")));
    model second(where_, memory, sizes_, kind::plain, "second");
    static_cast<void>(memory.swap(leave("second"), {"first"}));
    take_reference();
    add("swap, warm", way::both, time([&] { return memory.swap(leave("first"), {"second"}); }),
        1.75);
    second.check();
    static_cast<void>(memory.swap(leave("second"), {"first"}));
    first.check();
  }

  /// Two models of one process.
  void swap_sleepers() {
    const lull::host_arena shared = arena();
    lull::memory first(options(shared));
    lull::memory second(options(shared));
    lull::sleeper_options how;
    how.plan = lull::plan_for(lull::sleep_level::offload);
    lull::sleeper of_first(how);
    lull::sleeper of_second(how);
    of_first.manage(first);
    of_second.manage(second);
    model here(where_, first, sizes_, kind::plain, "weights");
    static_cast<void>(of_first.sleep());
    model there(where_, second, sizes_, kind::plain, "weights");
    static_cast<void>(lull::swap(of_second, of_first));
    take_reference();
    timing took;
    const double cpu_before = cpu_seconds();
    lull::swap_report done;
    took.total_s = seconds_of([&] { done = lull::swap(of_first, of_second); });
    took.cpu_s = cpu_seconds() - cpu_before;
    for (const auto& step : done.slept.steps)
      took.steps["sleep: " + step.name] += seconds(step.elapsed);
    for (const auto& step : done.woke.steps)
      took.steps["wake: " + step.name] += seconds(step.elapsed);
    add("swap of two sleepers, warm", way::both, took, 1.75);
    there.check();
  }

  [[nodiscard]] json row_of(const row& of) const {
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

  [[nodiscard]] json result() const {
    std::vector<double> out;
    std::vector<double> in;
    std::vector<double> cpu;
    for (const reference& each : limits_) {
      cpu.push_back(each.cpu_s);
      out.push_back(each.out_s);
      in.push_back(each.in_s);
    }
    json all{{"device", where_.name()},
             {"description", where_.description()},
             {"bytes", bytes_},
             {"scale", given_.scale},
             {"rounds", given_.cycles},
             {"threads", given_.threads},
             {"reference", pins_ ? "a copy of the same bytes through pinned memory"
                                 : "memcpy of the same bytes into fresh pages, by one thread"},
             {pins_ ? "pinned_copy" : "fresh_copy",
              {{"out_s", median(out)}, {"in_s", median(in)}, {"cpu_s", median(cpu)}}},
             {"settle_after_sleep_s", median(settle_s_)},
             {"levels", levels_},
             {"cases", json::array()}};
    if (!prepare_s_.empty()) all["prepare_s"] = median(prepare_s_);
    for (const row& each : rows_) all["cases"].push_back(row_of(each));
    return all;
  }

  lull::device where_;
  const arguments& given_;
  std::uint64_t bytes_;
  std::vector<std::uint64_t> sizes_;
  bool pins_;  ///< copies gain from pinned memory
  reference limit_;
  std::vector<reference> limits_;
  std::vector<row> rows_;
  std::vector<double> settle_s_;
  std::vector<double> prepare_s_;
  json levels_ = json::object();
};

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
}

arguments parse(int argc, char** argv) {
  arguments given;
  CLI::App app("Times sleeping and waking with gigabytes on a device.");
  app.add_option("--device", given.device, "CUDA0 (default: the first GPU, else HOST)");
  app.add_option("--size", given.size, "of the weights")->capture_default_str();
  app.add_option("--cycles", given.cycles, "rounds of all cases")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  app.add_option("--threads", given.threads, "that populate, pin and stage (0: the default)")
      ->capture_default_str();
  app.add_option(
         "--scale", given.scale,
         "for the simulated GPU: each byte stands for so many; regions, slices and chunks are "
         "smaller by it")
      ->capture_default_str()
      ->check(CLI::IsMember({1, 2, 4, 8, 16, 32}));
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
    if (!given.output.empty()) {
      std::ofstream file(given.output);
      file << result.dump(2) << '\n' << std::flush;
      if (!file) throw std::runtime_error("cannot write '" + given.output + "'");
    }
    print_table(result);
    return 0;
  } catch (const std::exception& failure) {
    fmt::print(stderr, "bench_sleep: {}\n", failure.what());
    return 1;
  }
}
