#include <lull/lull.hpp>

#include <iostream>

int main() {
  lull::registry registry;
  lull::memory memory;
  lull::sleeper sleeper;
  const auto region = memory.allocate(registry.find("HOST"), 1 << 20, {.tag = "weights"});
  sleeper.manage(memory);
  sleeper.sleep(lull::plan_for(lull::sleep_level::offload));
  const bool slept = region.where() == lull::residency::offloaded;
  const auto lease = sleeper.acquire();
  std::cout << "C++ consumer: " << lull_version_string() << '\n';
  return slept && region.where() == lull::residency::resident ? 0 : 1;
}
