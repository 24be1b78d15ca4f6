#ifndef LULL_TESTS_GPU_CHECKS_COMMAND_HPP
#define LULL_TESTS_GPU_CHECKS_COMMAND_HPP

/// @file
/// Runs programs under a limit. On purpose not by lull::process: what judges lull does not depend
/// on it, and is linked without a single shared library, so that it starts where nothing else does.

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace gpu_checks {

using seconds = std::chrono::duration<double>;

struct command {
  /// A path with a slash, or a name that is looked for in PATH; then its arguments.
  std::vector<std::string> arguments;
  /// Set on top of this process's.
  std::map<std::string, std::string> environment = {};
  /// Standard output goes here; empty: where errors go.
  std::filesystem::path output = {};
  /// Standard error goes here, at the end of what is there.
  std::filesystem::path log;
  seconds limit{60};
};

enum class ending {
  exited,       ///< by itself, with `code`
  signalled,    ///< by the signal `code`
  timed_out,    ///< it was killed at its limit, with all that it had forked
  not_started,  ///< the kernel refused it; `code` is errno
  stuck,        ///< it was killed and does not end: it hangs in the kernel
  interrupted,  ///< it was killed because of stop_running()
};

struct outcome {
  ending how = ending::not_started;
  int code = 0;
  seconds elapsed{};

  [[nodiscard]] bool success() const noexcept { return how == ending::exited && code == 0; }
};

/// "exited with code 3", "killed after its limit of 60 s", "did not start: No such file or
/// directory".
std::string to_string(const outcome& of, seconds limit);

/// Runs it in a process group of its own, with nothing to read, and waits for its end: at most for
/// the limit and the few seconds in which a killed process must end. What it leaves running is
/// killed.
outcome run(const command& what);

/// Makes run() kill what runs, and every later one not start. For signal handlers.
void stop_running() noexcept;
[[nodiscard]] bool stopped() noexcept;

/// The end of a text file: at most `count` lines, each cut at 300 bytes. Empty when there is none.
std::vector<std::string> last_lines(const std::filesystem::path& file, std::size_t count);

}  // namespace gpu_checks

#endif  // LULL_TESTS_GPU_CHECKS_COMMAND_HPP
