#include "pid_directory.hpp"

#include <unistd.h>

#include <cstdlib>

#include <fmt/format.h>

namespace lull::tool {

std::filesystem::path default_pid_directory() {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/') return std::filesystem::path(runtime) / "lull";
  return fmt::format("/tmp/lull-{}", ::getuid());
}

}  // namespace lull::tool
