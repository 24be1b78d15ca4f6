#include "reset_probe.hpp"

#include <cstddef>

namespace lull::tool {
namespace {

/// Takes memory, touches all of it, and gives it back.
void use_memory(const device& which, std::uint64_t bytes, memory_info& in_use) {
  void* const address = which.allocate(bytes);
  try {
    which.fill(address, std::byte{1}, bytes);
    which.synchronize();
    in_use = which.memory();
  } catch (...) {
    which.deallocate(address, bytes);
    throw;
  }
  which.deallocate(address, bytes);
}

std::optional<std::uint64_t> difference(const std::optional<std::uint64_t>& more,
                                        const std::optional<std::uint64_t>& less) {
  if (!more || !less) return std::nullopt;
  return *more > *less ? *more - *less : 0;
}

}  // namespace

std::optional<std::uint64_t> reset_probe_result::context_bytes() const {
  const memory_info& with = cycles.front().with_context;
  if (with.used_by_process_bytes) return with.used_by_process_bytes;
  return difference(before.free_bytes, with.free_bytes);
}

reset_probe_result::residue reset_probe_result::left() const {
  const memory_info& after = cycles.back().reset.after;
  if (after.used_by_process_bytes) {
    return {after.used_by_process_bytes,
            "what this process holds, by the " + std::string(to_string(after.source))};
  }
  const auto lost = difference(before.free_bytes, after.free_bytes);
  if (lost) {
    return {lost, "how much less of the device is free than before, by the " +
                      std::string(to_string(after.source)) + "; other processes disturb it"};
  }
  return {std::nullopt, "nothing on this machine can tell"};
}

reset_probe_result probe_reset(const device& which, const reset_probe_options& options) {
  which.require(capability::reset, "reset-probe");
  reset_probe_result result;
  result.before = which.memory();
  for (int cycle = 0; cycle < options.cycles; ++cycle) {
    reset_probe_cycle& now = result.cycles.emplace_back();
    which.context_create();
    now.with_context = which.memory();
    if (options.gemm) result.gemm = run_first_gemm(which);
    use_memory(which, options.memory_bytes, now.in_use);
    now.reset = dev_reset(which);
  }
  return result;
}

}  // namespace lull::tool
