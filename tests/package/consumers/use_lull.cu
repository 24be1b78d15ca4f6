// The C API and the C++17 headers from a CUDA file; it runs where there is no GPU.

static_assert(__cplusplus == 201703L, "linking lull changes the dialect");

#include <lull/lull.hpp>
#include <lull/raii.hpp>

#define main use_from_c
#include "use_lull.c"
#undef main

__global__ void kernel() {}

void raise_limit(const lull::device& device) {
  static lull::once_per_context raised;
  raised.call(device, [] {
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 65536);
  });
}

/// What C++20 does with a std::stop_token.
bool gives_up() {
  lull::memory memory;
  const lull::device device = lull::registry::shared().find("host", 0);
  const lull::region region = memory.allocate(device, 4096);
  const lull::cancel enough;
  lull::transfer_options options;
  options.stop = enough;
  enough.request();
  lull::eviction_plan plan;
  plan.otherwise = lull::contents_action::offload;
  try {
    memory.evict(plan, options);
  } catch (const lull::error& failure) {
    return failure.code() == lull::status::cancelled;
  }
  return false;
}

int main() {
  if (!gives_up()) return 1;
  for (const lull::device& device : lull::registry::shared().devices()) {
    if (device.backend() == "cuda") raise_limit(device);
  }
  return use_from_c();
}
