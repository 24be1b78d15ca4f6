#include <lull/lull.hpp>

#include <cstdio>
#include <cstring>

int main() {
  const lull::device device = lull::registry::shared().find("HOST");
  lull::memory memory;
  const lull::region weights =
      memory.allocate(device, 256 << 20,
                      {.tag = "weights", .refill = [](const lull::refill_target& target) {
                         std::memset(target.address(), 1, target.size_bytes());  // or read a file
                       }});
  lull::sleeper_options options;
  options.idle_time = std::chrono::minutes(5);
  options.watch_idle = true;
  lull::sleeper sleeper(options);
  sleeper.manage(memory);

  sleeper.sleep();  // or wait five minutes
  std::printf("asleep: %lu bytes used\n", *device.memory().used_by_process_bytes);
  const auto work = sleeper.acquire();  // wakes, once however many callers
  std::printf("awake: first byte is %d\n", *static_cast<char*>(weights.acquire().address()));
}
