// The C API and the C++17 headers from a CUDA file; it runs where there is no GPU.

static_assert(__cplusplus == 201703L, "linking lull changes the dialect");

#include <lull/context.hpp>
#include <lull/graph_cache.hpp>
#include <lull/registry.hpp>
#include <lull/reset.hpp>

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

int main() {
  for (const lull::device& device : lull::registry::shared().devices()) {
    if (device.backend() == "cuda") raise_limit(device);
  }
  return use_from_c();
}
