#include "core/generation.hpp"

#include <map>
#include <mutex>

namespace lull::detail {

generation_counter& generation_counter::of(const std::string& key) {
  static auto& mutex = *new std::mutex;
  // Nodes of a map stay where they are.
  static auto& counters = *new std::map<std::string, generation_counter>;
  const std::lock_guard lock(mutex);
  return counters.try_emplace(key, counters.size() + 1).first->second;
}

}  // namespace lull::detail
