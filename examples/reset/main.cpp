// What breaks when a GPU context is reset, and what does not.
//
// A program often prepares something on the device once per process: it raises a kernel's limit of
// shared memory, creates a library's handle, uploads a table. A reset takes all of that away, and a
// `static bool` does not know.

#include <lull/lull.hpp>

#include <array>
#include <cstdio>

namespace {

constexpr std::size_t entries = 256;
using table = std::array<float, entries>;

/// A table on the device, as some kernel library would keep one for the life of the process.
void* table_on_device = nullptr;

void upload(const lull::device& gpu) {
  table values{};
  for (std::size_t i = 0; i < entries; ++i) values[i] = static_cast<float>(i) / entries;
  table_on_device = gpu.allocate(sizeof values);
  gpu.copy_from_host(table_on_device, values.data(), sizeof values);
}

/// Stands for a kernel that uses the table.
void compute(const lull::device& gpu) {
  table values{};
  gpu.copy_to_host(values.data(), table_on_device, sizeof values);
}

/// How it is often written. Works until the first reset.
void compute_with_a_static_flag(const lull::device& gpu) {
  static bool uploaded = false;
  if (!uploaded) upload(gpu);
  uploaded = true;
  compute(gpu);
}

/// The same, done once per context.
void compute_with_lull(const lull::device& gpu) {
  static lull::once_per_context uploaded;
  uploaded.call(gpu, [&gpu] { upload(gpu); });
  compute(gpu);
}

void try_twice(const lull::device& gpu, const char* name, void (*work)(const lull::device&)) {
  for (const char* when : {"before", "after"}) {
    try {
      work(gpu);
      std::printf("%s, %s the reset: works\n", name, when);
    } catch (const lull::error& failure) {
      std::printf("%s, %s the reset: fails: %s\n", name, when, failure.what());
    }
    // The table is a live allocation: without `drop` the reset would be refused.
    const lull::reset_report report = lull::dev_reset(gpu, {.drop = true});
    std::printf("  reset %s: generation %llu\n", gpu.name().c_str(),
                static_cast<unsigned long long>(report.generation));
  }
}

}  // namespace

int main() {
  for (const lull::device& each : lull::registry::shared().devices()) {
    if (!each.supports(lull::capability::reset)) continue;
    try_twice(each, "static flag", compute_with_a_static_flag);
    try_twice(each, "once_per_context", compute_with_lull);
    return 0;
  }
  std::puts("no device here has a context that could be reset");
  return 0;
}
