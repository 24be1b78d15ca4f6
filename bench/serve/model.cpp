// Writes a model for the example server: bench_serve_model FILE MIB

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "gguf/writer.hpp"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s FILE MIB\n", argv[0]);
    return 2;
  }
  try {
    const auto mib = static_cast<std::uint64_t>(std::atoi(argv[2]));
    gguf::write_model(argv[1], {.total_bytes = mib << 20, .blocks = 2});
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "bench_serve_model: %s\n", failure.what());
    return 1;
  }
}
