// What it costs to decide who leaves for whom, and to let in who needs nobody to leave.

#include <lull/budget.hpp>
#include <lull/budget_plan.hpp>
#include <lull/bytes.hpp>

#include <cstdint>
#include <random>
#include <string>

#include "budget_replay.hpp"
#include "comparison.hpp"

namespace {

using namespace lull::literals;

constexpr std::uint32_t devices = 8;

/// Models of 1 to 16 GiB on one or two devices each, on devices that hold just all of them.
lull::plan_books books_of(std::size_t models) {
  std::mt19937 random(1);
  lull::plan_books books;
  for (std::uint32_t device = 0; device < devices; ++device) {
    books.devices.push_back({"GPU" + std::to_string(device), 0, 1_GiB});
  }
  for (std::size_t index = 0; index < models; ++index) {
    lull::plan_model model;
    model.name = "model " + std::to_string(index);
    model.state = lull::model_state::ready;
    const std::uint32_t home = random() % devices;
    model.holds = {{home, (1 + random() % 16) * 1_GiB}};
    if (random() % 4 == 0) model.holds.push_back({(home + 1) % devices, 4_GiB});
    model.last_used = lull::time_point{std::chrono::seconds(random() % 3600)};
    model.uses_per_second = static_cast<double>(1 + random() % 100) / 1000;
    const double wake_seconds = static_cast<double>(1 + random() % 100) / 10;
    model.levels = {{"offload", {{home, 512_MiB}}, wake_seconds}, {"unload", {}, 9 * wake_seconds}};
    books.models.push_back(model);
  }
  books.add_up();
  for (auto& device : books.devices) device.capacity_bytes = device.held_bytes + 1_GiB;
  return books;
}

/// One model more.
void plan_one(benchmark::State& state) {
  const auto books = books_of(static_cast<std::size_t>(state.range(0)));
  const lull::plan_request request{{}, {{0, 8_GiB}}, lull::time_point{std::chrono::hours(2)}};
  for (auto _ : state) benchmark::DoNotOptimize(plan_admission(books, request));
}

/// The worst: half of what all devices hold has to go.
void plan_half(benchmark::State& state) {
  const auto books = books_of(static_cast<std::size_t>(state.range(0)));
  lull::plan_request request{{}, {}, lull::time_point{std::chrono::hours(2)}};
  for (std::uint32_t device = 0; device < devices; ++device) {
    request.extra.push_back({device, books.devices[device].held_bytes / 2});
  }
  for (auto _ : state) benchmark::DoNotOptimize(plan_admission(books, request));
}

/// It fits as it is.
void plan_nothing(benchmark::State& state) {
  auto books = books_of(static_cast<std::size_t>(state.range(0)));
  for (auto& device : books.devices) device.capacity_bytes += 64_GiB;
  const lull::plan_request request{{}, {{0, 8_GiB}}, lull::time_point{std::chrono::hours(2)}};
  for (auto _ : state) benchmark::DoNotOptimize(plan_admission(books, request));
}

/// Models of which all fit.
void fill(lull::budget& budget, std::int64_t models) {
  for (std::int64_t index = 0; index < models; ++index) {
    budget.add({"model " + std::to_string(index), {{"GPU0", 1_GiB}}});
  }
}

lull::budget_options wide() {
  lull::budget_options options;
  options.devices = {{"GPU0", std::uint64_t{1} << 50}};
  options.evict = [](const lull::budget_eviction&) {};
  return options;
}

/// A request for a model that is ready.
void admit_ready(benchmark::State& state) {
  lull::budget budget(wide());
  fill(budget, state.range(0));
  budget.admit("model 0").confirm();
  for (auto _ : state) benchmark::DoNotOptimize(budget.admit("model 0"));
}

/// A model that may load at once; the load is given up again.
void admit_what_fits(benchmark::State& state) {
  lull::budget budget(wide());
  fill(budget, state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(budget.admit("model 0"));
}

}  // namespace

int main(int argc, char** argv) {
  for (const int models : {10, 100, 1000, 10000}) {
    const std::string group = "plan, " + std::to_string(models) + " models on 8 devices/";
    benchmark::RegisterBenchmark((group + "one more").c_str(), plan_one)->Arg(models);
    benchmark::RegisterBenchmark((group + "half of all").c_str(), plan_half)->Arg(models);
    benchmark::RegisterBenchmark((group + "fits").c_str(), plan_nothing)->Arg(models);
  }
  for (const int models : {10, 1000}) {
    const std::string group = "admit, of " + std::to_string(models) + " models/";
    benchmark::RegisterBenchmark((group + "ready").c_str(), admit_ready)->Arg(models);
    benchmark::RegisterBenchmark((group + "fits").c_str(), admit_what_fits)->Arg(models);
  }
  bench::register_replays();
  const int code = bench::run(argc, argv, "ns");
  bench::print_replays();
  return code;
}
