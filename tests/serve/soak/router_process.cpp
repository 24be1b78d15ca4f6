#include "soak/router_process.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>
#include <httplib.h>

#include "gguf/writer.hpp"

namespace lull::soak {
namespace {

using json = nlohmann::json;
using std::chrono::seconds;

/// Of the stand-ins: how they sleep, and what goes wrong with them.
std::string keys_of(int index, std::string& options) {
  switch (index % 6) {
    case 0: return "    sleep: routes\n";
    case 1: options = "--start-ms 700"; return "    sleep: stop\n";
    case 2: return "    sleep: driver\n";
    case 3: options = "--fails-percent 30"; return "    ladder: offload:2s,suspend:4s,stop:8s\n";
    case 4: options = "--sleep no"; return "    sleep: routes\n";
    default: return "    sleep: auto\n    priority: 5\n";
  }
}

/// The same of example servers, and what a shell does before it becomes one.
struct peculiarity {
  std::string before;
  std::string options;
  std::string keys;
};
peculiarity peculiarity_of(int index, const std::string& intruder) {
  switch (index % 6) {
    case 0: return {intruder, "", "    sleep: routes\n"};
    case 1: return {"sleep 0.7; ", "", "    sleep: stop\n"};
    case 2: return {"", "--wake-delay-ms 300", "    sleep: auto\n    priority: 5\n"};
    case 3:
      return {"[ $(( $$ % 10 )) -lt 3 ] && echo could not load the weights >&2 && exit 3; ", "",
              "    ladder: offload:2s,discard:4s,stop:8s\n"};
    case 4: return {"", "--word-delay-ms 20", "    ladder: [offload, stop]\n"};
    default: return {"", "", "    level: discard\n"};
  }
}

sizes sizes_of(servers which) {
  if (which == servers::stand_ins) return {};
  // A server of 48 MiB of weights holds some 65 MiB, and some 10 MiB asleep.
  return {.device = 400 * mib, .margin = 40 * mib, .model = 72 * mib};
}

}  // namespace

router_process::router_process(std::filesystem::path folder, servers which, int models)
    : folder_(std::move(folder)), which_(which), sizes_(sizes_of(which)) {
  std::filesystem::create_directories(gpu_folder());
  write_config(models);
  start();
}

router_process::~router_process() = default;

std::string router_process::program() const {
  return which_ == servers::stand_ins ? LULL_SOAK_SERVER : LULL_EXAMPLE_SERVER;
}

std::string router_process::stand_in(int index) const {
  std::string options;
  const std::string keys = keys_of(index, options);
  return fmt::format(
      "    cmd: {} --port ${{PORT}} --name ${{MODEL_ID}} --bytes {} --processes {} {}\n{}",
      LULL_SOAK_SERVER, sizes_.model, gpu_folder().string(), options, keys);
}

std::string router_process::example(int index) const {
  constexpr std::uint64_t weights = 48 * mib;
  const std::filesystem::path file = folder_ / fmt::format("model-{}.gguf", index);
  gguf::write_model(
      file, {.total_bytes = weights, .seed = static_cast<std::uint64_t>(index) + 1, .blocks = 2});
  const std::string intruder = fmt::format("{} --intruder {} --bytes {} & ", LULL_SOAK_SERVER,
                                           intruder_file().string(), weights);
  const peculiarity its = peculiarity_of(index, intruder);
  return fmt::format(
      "    cmd: \"sh -c '{}exec {} --model ${{MODEL_ID}}={} --port ${{PORT}} --kv-size 0 "
      "--parallel 4 --offload-dir {} {}'\"\n{}",
      its.before, LULL_EXAMPLE_SERVER, file.string(), folder_.string(), its.options, its.keys);
}

void router_process::write_config(int models) {
  std::ofstream out(folder_ / "serve.yaml");
  const std::string device = which_ == servers::stand_ins
                                 ? "[CUDA0]"
                                 : fmt::format("{{HOST: {{capacity: {}}}}}", sizes_.device);
  // Ports that programs of other runs have not.
  out << fmt::format(
      "startPort: {}\nmargin: {}\ndevices: {}\nstate_folder: {}\nmax_wait: 60s\n"
      "fair_wait: 5s\nunloadTimeout: 2s\nhealthCheckTimeout: 20s\nmodels:\n",
      20000 + ::getpid() % 400 * 25, sizes_.margin, device, (folder_ / "state").string());
  for (int i = 0; i < models; ++i) {
    models_.push_back(fmt::format("model-{}", i));
    out << fmt::format("  {}:\n    memory: {}\n{}", models_.back(), sizes_.model,
                       which_ == servers::stand_ins ? stand_in(i) : example(i));
  }
}

void router_process::start() {
  process_options how;
  how.arguments = {"sh",
                   "-c",
                   fmt::format("exec \"$0\" \"$@\" 2>>{}", (folder_ / "log").string()),
                   LULL_SERVE,
                   "--config",
                   (folder_ / "serve.yaml").string(),
                   "--listen",
                   "127.0.0.1:0",
                   "--drain-seconds",
                   "10"};
  how.environment = {{"LD_LIBRARY_PATH", LULL_TEST_SIMGPU},
                     {"SIMGPU_VENDORS", "cuda"},
                     {"SIMGPU", fmt::format("total={},scale=1000", sizes_.device)},
                     {"SIMGPU_PROCESSES", gpu_folder().string()},
                     {"SIMGPU_PROCESSES_CHANGE", "1"}};
  // Of the library that the stand-ins are made with, which no sanitizer was compiled into; the
  // router does without it.
  const std::string known = (folder_ / "known_races").string();
  std::ofstream(known) << "race:libcpp-httplib\n";
  // Into files, or the router would take what its servers say for words of theirs.
  const std::string reports = (folder_ / "report").string();
  for (const char* const options : {"TSAN_OPTIONS", "ASAN_OPTIONS", "UBSAN_OPTIONS"}) {
    const char* const given = std::getenv(options);
    how.environment[options] =
        fmt::format("{}:log_path={}", given == nullptr ? "" : given, reports);
  }
  *how.environment["TSAN_OPTIONS"] += ":suppressions=" + known;
  how.output = child_stream::pipe;
  how.state_pipe = false;
  process_ = std::make_unique<process>(how);
  FILE* const output = ::fdopen(process_->take_output(), "r");
  char line[256] = {};
  const bool speaks = std::fgets(line, sizeof line, output) != nullptr;
  std::fclose(output);
  const std::string text(line);
  if (!speaks || text.rfind(':') == std::string::npos) {
    throw std::runtime_error("the router does not start:\n" + last_log_lines());
  }
  port_ = std::stoi(text.substr(text.rfind(':') + 1));
}

json router_process::state() const {
  httplib::Client client("127.0.0.1", port_);
  client.set_read_timeout(seconds{10});
  const httplib::Result got = client.Get("/ui/state");
  return got ? json::parse(got->body, nullptr, false) : json();
}

std::string router_process::metrics() const {
  httplib::Client client("127.0.0.1", port_);
  client.set_read_timeout(seconds{10});
  const httplib::Result got = client.Get("/metrics");
  return got ? got->body : std::string();
}

void router_process::unload_all() const {
  httplib::Client client("127.0.0.1", port_);
  client.set_read_timeout(seconds{60});
  client.Post("/unload", "", "application/json");
}

stop_result router_process::stop() {
  return process_->stop({.grace = seconds{60}});
}

std::string router_process::last_log_lines() const {
  std::ifstream in(folder_ / "log");
  const std::string all{std::istreambuf_iterator<char>(in), {}};
  constexpr std::size_t some = 6000;
  return all.size() <= some ? all : all.substr(all.size() - some);
}

std::string router_process::sanitizer_reports() const {
  std::string all;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (!entry.path().filename().string().starts_with("report.")) continue;
    std::ifstream in(entry.path());
    all += std::string{std::istreambuf_iterator<char>(in), {}};
  }
  return all;
}

}  // namespace lull::soak
