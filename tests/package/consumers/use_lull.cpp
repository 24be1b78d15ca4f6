// Used as an outsider would: from the installed headers and library alone.

#include <lull/lull.hpp>

#include <cstdio>

int main() {
  using namespace lull::literals;
  if (lull_version() != LULL_VERSION) {
    std::fprintf(stderr, "headers %d, library %d\n", LULL_VERSION, lull_version());
    return 1;
  }

  lull::registry registry{{.module_paths = {}, .search = false, .settings = {}, .log = {}}};
  lull::memory memory;
  const lull::region weights = memory.allocate(registry.find("HOST"), 64_KiB, {.tag = "weights"});
  lull::sleeper sleeper{{.plan = lull::plan_for(lull::sleep_level::offload)}};
  sleeper.manage(memory);
  sleeper.sleep();
  const lull::sleeper::lease lease = sleeper.acquire();
  if (sleeper.observe().counters.wakes != 1) return 1;

  // An exception has to be recognized on this side of the library's boundary.
  try {
    static_cast<void>(registry.find("no such device"));
    return 1;
  } catch (const lull::error& e) {
    if (e.code() != lull::status::not_found) return 1;
  }
  std::printf("lull %s\n", lull_version_string());
  return 0;
}
