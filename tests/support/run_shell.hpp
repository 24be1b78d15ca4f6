#ifndef LULL_TESTS_SUPPORT_RUN_SHELL_HPP
#define LULL_TESTS_SUPPORT_RUN_SHELL_HPP

#include <stdio.h>
#include <sys/wait.h>

#include <array>
#include <string>

namespace lull::test {

struct shell_result {
  int exit_code = -1;  ///< -1: ended by a signal
  std::string output;  ///< what it wrote to standard output
};

/// Runs a command line to its end.
inline shell_result run_shell(const std::string& command) {
  shell_result result;
  FILE* const pipe = ::popen(command.c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const std::size_t got = ::fread(buffer.data(), 1, buffer.size(), pipe)) {
    result.output.append(buffer.data(), got);
  }
  const int status = ::pclose(pipe);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  return result;
}

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_RUN_SHELL_HPP
