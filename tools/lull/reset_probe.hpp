#ifndef TOOLS_LULL_RESET_PROBE_HPP
#define TOOLS_LULL_RESET_PROBE_HPP

#include <lull/device.hpp>
#include <lull/reset.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "blas.hpp"

namespace lull::tool {

struct reset_probe_options {
  std::uint64_t memory_bytes = std::uint64_t{256} << 20;
  bool gemm = false;
  int cycles = 1;
};

/// One round: context, memory, perhaps a matrix multiplication, reset.
struct reset_probe_cycle {
  memory_info with_context;  ///< the context alone
  memory_info in_use;        ///< and memory, and the library
  reset_report reset;
};

struct reset_probe_result {
  memory_info before;  ///< before there was any context
  std::vector<reset_probe_cycle> cycles;
  blas_outcome gemm;

  /// What the context alone takes; absent where the platform cannot tell.
  [[nodiscard]] std::optional<std::uint64_t> context_bytes() const;
  /// What is left after the last reset, as far as it can be known: what this process holds, or else
  /// how much less is free than before there was a context, which other processes disturb.
  struct residue {
    std::optional<std::uint64_t> bytes;
    std::string known_by;
  };
  [[nodiscard]] residue left() const;
};

/// @throws lull::error
reset_probe_result probe_reset(const device& which, const reset_probe_options& options);

}  // namespace lull::tool

#endif  // TOOLS_LULL_RESET_PROBE_HPP
