#include "soak/router_process.hpp"

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>
#include <httplib.h>

namespace lull::soak {
namespace {

using json = nlohmann::json;
using std::chrono::seconds;

/// What differs between the models: how they sleep, and what goes wrong with them.
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

}  // namespace

router_process::router_process(std::filesystem::path folder, int models)
    : folder_(std::move(folder)) {
  std::filesystem::create_directories(gpu_folder());
  write_config(models);
  start();
}

router_process::~router_process() = default;

void router_process::write_config(int models) {
  std::ofstream out(folder_ / "serve.yaml");
  // Ports that programs of other runs have not.
  out << fmt::format(
      "startPort: {}\nmargin: {}\ndevices: [CUDA0]\nstate_folder: {}\nmax_wait: 60s\n"
      "fair_wait: 5s\nunloadTimeout: 2s\nhealthCheckTimeout: 20s\nmodels:\n",
      20000 + ::getpid() % 400 * 25, margin_bytes, (folder_ / "state").string());
  for (int i = 0; i < models; ++i) {
    models_.push_back(fmt::format("model-{}", i));
    std::string options;
    const std::string keys = keys_of(i, options);
    out << fmt::format(
        "  {}:\n    cmd: {} --port ${{PORT}} --name ${{MODEL_ID}} --bytes {} --processes {} {}\n"
        "    memory: {}\n{}",
        models_.back(), LULL_SOAK_SERVER, model_bytes, gpu_folder().string(), options, model_bytes,
        keys);
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
                     {"SIMGPU", fmt::format("total={},scale=1000", gpu_bytes)},
                     {"SIMGPU_PROCESSES", gpu_folder().string()},
                     {"SIMGPU_PROCESSES_CHANGE", "1"}};
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

}  // namespace lull::soak
