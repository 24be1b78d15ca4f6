#include "demo.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>
#include <lull/registry.hpp>

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>

#include <fmt/format.h>

#include "level_run.hpp"
#include "model_file.hpp"
#include "report.hpp"
#include "swap_run.hpp"
#include "turns_run.hpp"

namespace lull::demo {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view server_name = "lull-example-server";

fs::path find_server(const fs::path& named) {
  if (!named.empty()) {
    if (fs::is_regular_file(named)) return named;
    throw error(status::not_found,
                fmt::format("there is no server program at '{}'", named.string()));
  }
  const fs::path here = fs::read_symlink("/proc/self/exe").parent_path();
  const std::array candidates{here / server_name, here / "../../examples/server" / server_name};
  for (const fs::path& candidate : candidates) {
    if (fs::is_regular_file(candidate)) return candidate.lexically_normal();
  }
  throw error(status::not_found,
              fmt::format("{} is neither beside this program ({}) nor in its build tree; name it "
                          "with --server",
                          server_name, here.string()));
}

device choose_device(const registry& all, const std::string& named) {
  if (!named.empty()) return all.find(named);
  for (const device& each : all.devices()) {
    if (each.type() != device_type::host && each.supports(capability::stable_addresses)) {
      return each;
    }
  }
  return all.find("HOST");
}

std::vector<sleep_level> choose_levels(const std::vector<sleep_level>& wanted,
                                       const device& where) {
  auto possible = supported_levels({where});
  for (const sleep_level level : wanted) {
    if (std::find(possible.begin(), possible.end(), level) == possible.end()) {
      throw error(status::unsupported,
                  fmt::format("{} cannot sleep by level '{}'", where.name(), to_string(level)));
    }
  }
  if (!wanted.empty()) return wanted;
  // It keeps all that this shows the fall of.
  std::erase(possible, sleep_level::trim);
  return possible;
}

std::string file_name_for(std::uint64_t model_bytes) {
  std::string size = format_bytes(model_bytes);
  std::erase(size, ' ');
  return fmt::format("demo-{}.gguf", size);
}

void write_file(const fs::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary);
  file << content << std::flush;
  if (!file) throw error(status::io, fmt::format("cannot write '{}'", path.string()));
}

}  // namespace

std::vector<std::string> run_demo(const demo_options& options, const std::stop_token& stop) {
  const registry devices;
  const device where = choose_device(devices, options.device);
  const std::vector<sleep_level> levels = choose_levels(options.levels, where);
  const fs::path server = find_server(options.server);
  fs::create_directories(options.output);
  const fs::path model =
      options.model.empty() ? options.output / file_name_for(options.model_bytes) : options.model;

  options.progress(fmt::format("device: {} ({})", where.name(), where.description()));
  demo_result result;
  result.device = where.name();
  result.clients = options.clients;
  result.weights_bytes = ensure_model(model, options.model_bytes, options.progress, stop);
  for (const sleep_level level : levels) {
    options.progress(fmt::format("{}: starting the server", to_string(level)));
    result.levels.push_back(run_level({.server = {.program = server,
                                                  .model = model,
                                                  .device = where.name(),
                                                  .level = level,
                                                  .offload_dir = options.output},
                                       .clients = options.clients,
                                       .progress = options.progress},
                                      where, stop));
  }

  // The server is gone, and with it what it had on the device.
  const bool on_host = where.type() == device_type::host;
  result.turns =
      run_turns({.server = {.program = server,
                            .device = where.name(),
                            .level = on_host ? sleep_level::discard : sleep_level::offload},
                 .models_directory = options.output,
                 .most_model_bytes = result.weights_bytes,
                 .progress = options.progress},
                where, stop);
  result.swap = run_swap(where, result.weights_bytes, options.progress);

  const fs::path picture = options.output / "demo.svg";
  const fs::path series = options.output / "demo.json";
  write_file(picture, to_svg(to_chart(result)));
  write_file(series, to_json(result));
  options.progress(fmt::format("\n{}", to_table(result)));
  options.progress(fmt::format("chart:  {}\nseries: {}", picture.string(), series.string()));
  return result.wrong();
}

}  // namespace lull::demo
