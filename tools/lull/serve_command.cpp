#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "commands.hpp"

namespace lull::tool {

void add_serve_command(CLI::App& app) {
  app.add_subcommand("serve",
                     "One port in front of inference servers that share this machine's "
                     "memory; it has options of its own (--help)");
}

int become_serve(const std::vector<std::string>& arguments) {
  std::error_code failed;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (failed) return failed.value();
  std::string program = (self.parent_path() / "lull-serve").string();
  std::vector<std::string> copies = arguments;
  std::vector<char*> words{program.data()};
  for (std::string& each : copies) words.push_back(each.data());
  words.push_back(nullptr);
  ::execv(program.c_str(), words.data());
  return errno;
}

}  // namespace lull::tool
