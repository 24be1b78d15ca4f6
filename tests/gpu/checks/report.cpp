#include "report.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>
#include <ctime>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "claims.hpp"

namespace gpu_checks {
namespace {

namespace fs = std::filesystem;

std::string now_text() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

/// What follows the colon of the first line that begins so; null where there is none.
json line_of(const char* file, std::string_view beginning) {
  std::ifstream from(file);
  for (std::string line; std::getline(from, line);) {
    if (line.rfind(beginning, 0) != 0) continue;
    const auto at = line.find_first_not_of(" \t", line.find(':') + 1);
    return at == std::string::npos ? json(nullptr) : json(line.substr(at));
  }
  return nullptr;
}

std::string kernel_text() {
  utsname names{};
  return ::uname(&names) == 0 ? names.release : "unknown";
}

json check_json(const check_result& of) {
  json arguments = json::array({of.what.program});
  for (const std::string& each : of.what.arguments) arguments.push_back(each);
  json result{{"name", of.what.name},
              {"state", to_string(of.state)},
              {"command", arguments},
              {"seconds", std::round(of.elapsed.count() * 1e3) / 1e3},
              {"limit_seconds", std::round(of.what.limit.count() * 1e3) / 1e3}};
  if (!of.reason.empty()) result["reason"] = of.reason;
  if (!of.last_lines.empty()) result["last_lines"] = of.last_lines;
  result["result"] = of.result;
  return result;
}

/// The module's own words.
std::string module_reason(const json& module) {
  const json reason = module.value("reason", json(nullptr));
  return reason.is_string() ? reason.get<std::string>() : "no reason given";
}

}  // namespace

gpu_verdict judge_gpu(const check_result& devices, bool kernel_has_gpu) {
  using answer = gpu_verdict::answer;
  if (devices.state != check_state::passed) {
    return {answer::unknown, "lull devices: " + devices.reason};
  }
  for (const json& each : devices.result.value("devices", json::array())) {
    if (each.value("backend", json()) == "cuda") return {answer::present};
  }
  for (const json& each : devices.result.value("modules", json::array())) {
    if (each.value("backend", json()) != "cuda") continue;
    const std::string reason = module_reason(each);
    // A module that could not be loaded has not looked.
    if (each.value("state", json()) != "unusable") return {answer::unknown, reason};
    if (kernel_has_gpu) return {answer::unknown, "the kernel shows a GPU, but lull: " + reason};
    return {answer::absent, reason};
  }
  return {answer::unknown, "lull found no CUDA module beside itself"};
}

double free_bytes(const check_result& devices) {
  for (const json& each : devices.result.value("devices", json::array())) {
    if (each.value("name", json()) != "CUDA0") continue;
    const json free = each.value("memory", json::object()).value("free_bytes", json());
    return free.is_number() ? free.get<double>() : 0;
  }
  return 0;
}

bool kernel_has_gpu(const fs::path& root) {
  std::error_code failed;
  for (const fs::directory_entry& each : fs::directory_iterator(root / "dev", failed)) {
    const std::string name = each.path().filename().string();
    if (name.size() > 6 && name.rfind("nvidia", 0) == 0 &&
        std::isdigit(static_cast<unsigned char>(name[6])) != 0) {
      return true;
    }
  }
  const fs::path listed = root / "proc/driver/nvidia/gpus";
  return fs::exists(listed, failed) && !fs::is_empty(listed, failed) && !failed;
}

json to_json(const report& of) {
  json checks = json::array();
  for (const check_result& each : of.checks) checks.push_back(check_json(each));
  return {{"date", now_text()},
          {"machine", line_of("/proc/cpuinfo", "model name")},
          {"kernel", kernel_text()},
          {"driver", line_of("/proc/driver/nvidia/version", "NVRM version")},
          {"bundle", of.bundle},
          {"verdict", of.verdict},
          {"reason", of.gpu.reason.empty() ? json(nullptr) : json(of.gpu.reason)},
          {"claims", to_json(claims_of(of.checks))},
          {"checks", checks}};
}

void write_json(const fs::path& file, const json& what) {
  // Bytes that are no UTF-8, of a program that failed, are replaced; nothing else is changed.
  const std::string text = what.dump(1, ' ', false, json::error_handler_t::replace) + '\n';
  fs::path beside = file;
  beside += ".new";
  std::ofstream to(beside, std::ios::trunc);
  to << text << std::flush;
  if (!to) throw std::runtime_error(fmt::format("cannot write '{}'", beside.string()));
  to.close();
  fs::rename(beside, file);
  std::ifstream from(file);
  if (json::parse(from, nullptr, false).is_discarded()) {
    throw std::runtime_error(fmt::format("'{}' is not what was written", file.string()));
  }
}

std::string to_text(const check_result& of) {
  std::string text =
      fmt::format("{:<9} {} ({:.1f} s)", to_string(of.state), of.what.name, of.elapsed.count());
  if (!of.reason.empty()) text += ": " + of.reason;
  text += '\n';
  if (of.state != check_state::failed) return text;
  for (const std::string& each : of.last_lines) text += "          | " + each + '\n';
  return text;
}

}  // namespace gpu_checks
