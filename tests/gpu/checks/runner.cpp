#include "runner.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace gpu_checks {
namespace {

namespace fs = std::filesystem;

constexpr int exit_skipped = 77;
constexpr std::size_t kept_lines = 12;

std::string with(std::string text, std::string_view word, const std::string& value) {
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at)) {
    text.replace(at, word.size(), value);
    at += value.size();
  }
  return text;
}

/// A folder that goes with its contents.
class scratch_folder {
 public:
  explicit scratch_folder(fs::path path) : path_(std::move(path)) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~scratch_folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  [[nodiscard]] const fs::path& path() const noexcept { return path_; }

 private:
  fs::path path_;
};

std::string text_of(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

/// What the program said last is the reason why it skipped itself.
std::string last_of(const std::vector<std::string>& lines) {
  return lines.empty() ? "it did not say why" : lines.back();
}

std::string joined(const std::string& folder, const std::string& others) {
  return others.empty() ? folder : folder + ':' + others;
}

/// Its state by how it ended.
void judge_end(const outcome& end, check_result& result) {
  if (end.success()) {
    result.state = check_state::passed;
  } else if (end.how == ending::exited && end.code == exit_skipped) {
    result.state = check_state::skipped;
    result.reason = last_of(result.last_lines);
  } else if (end.how == ending::not_started && end.code == ENOENT && result.what.foreign) {
    result.state = check_state::skipped;
    result.reason = fmt::format("there is no {} here", result.what.program);
  } else if (end.how == ending::interrupted) {
    result.state = check_state::not_run;
    result.reason = to_string(end, result.what.limit);
  } else {
    result.state = check_state::failed;
    result.reason = to_string(end, result.what.limit);
  }
}

/// A program that passed has left a result that can be read. Of one that did not, what can be read
/// is kept.
void read_result(const fs::path& file, check_result& result) {
  if (result.what.result.empty()) return;
  const std::string text = text_of(file);
  result.result = json::parse(text, nullptr, false);
  if (!result.result.is_discarded()) return;
  result.result = nullptr;
  if (result.state != check_state::passed) return;
  result.state = check_state::failed;
  result.reason = text.empty() ? "it left no result" : "its result is no JSON";
}

}  // namespace

std::string_view to_string(check_state state) noexcept {
  switch (state) {
    case check_state::passed: return "passed";
    case check_state::failed: return "failed";
    case check_state::skipped: return "skipped";
    case check_state::not_built: return "not built";
    case check_state::not_run: return "not run";
  }
  return "";
}

runner::runner(options given)
    : given_(std::move(given)),
      end_(std::chrono::steady_clock::now() +
           std::chrono::duration_cast<std::chrono::steady_clock::duration>(given_.limit)) {
  fs::create_directories(given_.logs);
}

std::string runner::library_path() const {
  const auto set = given_.environment.find("LD_LIBRARY_PATH");
  if (set != given_.environment.end()) return set->second;
  const char* const inherited = std::getenv("LD_LIBRARY_PATH");
  return inherited == nullptr ? "" : inherited;
}

void runner::add_library_folder(const fs::path& folder) {
  given_.environment["LD_LIBRARY_PATH"] = joined(folder.string(), library_path());
}

command runner::command_for(const check& what, const fs::path& scratch) const {
  command result;
  result.arguments.push_back(what.foreign ? what.program : (given_.bundle / what.program).string());
  for (const std::string& each : what.arguments) {
    result.arguments.push_back(
        with(with(each, "SCRATCH", scratch.string()), "BUNDLE", given_.bundle.string()));
  }
  result.environment = given_.environment;
  if (!what.library_folder.empty()) {
    result.environment["LD_LIBRARY_PATH"] = joined(what.library_folder, library_path());
  }
  if (what.result == "-") result.output = scratch / "-";
  result.log = given_.logs / (what.name + ".log");
  const seconds left = end_ - std::chrono::steady_clock::now();
  result.limit = std::min(what.limit, left);
  return result;
}

check_result runner::run(const check& what) {
  check_result result{.what = what};
  if (!what.foreign && !given_.programs.contains(what.program)) {
    result.state = check_state::not_built;
    result.reason = "this bundle has no " + what.program;
    return result;
  }
  if (!what.unfit.empty()) {
    result.state = check_state::skipped;
    result.reason = what.unfit;
    return result;
  }
  const scratch_folder scratch(given_.logs / ("." + what.name));
  const command line = command_for(what, scratch.path());
  if (line.limit <= seconds::zero()) {
    result.state = check_state::failed;
    result.reason = "no time was left for it";
    return result;
  }
  fs::remove(line.log);
  std::ofstream(line.log) << "$ " << fmt::format("{}", fmt::join(line.arguments, " ")) << '\n';
  result.what.limit = line.limit;
  const outcome end = gpu_checks::run(line);
  result.elapsed = end.elapsed;
  result.last_lines = last_lines(line.log, kept_lines);
  judge_end(end, result);
  read_result(scratch.path() / what.result, result);
  if (result.state == check_state::passed) result.last_lines.clear();
  return result;
}

}  // namespace gpu_checks
