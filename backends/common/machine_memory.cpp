#include "common/machine_memory.hpp"

#include <fstream>
#include <sstream>
#include <string>

namespace lull::backends {

std::optional<machine_memory> read_machine_memory() {
  machine_memory memory;
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t kib = 0;
    if (!(words >> name >> kib)) continue;
    if (name == "MemTotal:") memory.total_bytes = kib * 1024;
    if (name == "MemAvailable:") memory.available_bytes = kib * 1024;
  }
  if (memory.total_bytes == 0 || memory.available_bytes == 0) return std::nullopt;
  return memory;
}

}  // namespace lull::backends
