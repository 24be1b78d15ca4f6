#include "memory/host_claim.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

/// What was promised in this process and not touched yet.
struct promises {
  std::mutex mutex;
  std::uint64_t bytes = 0;
};
promises& all_promises() {
  static promises all;
  return all;
}

std::atomic<system_memory_probe> probe_in_place{nullptr};

std::optional<system_memory> look() {
  const system_memory_probe probe = probe_in_place.load();
  return probe != nullptr ? probe() : read_system_memory();
}

/// Page tables, stacks and whoever else runs need some too.
std::uint64_t reserve_of(std::uint64_t total_bytes) {
  return std::min<std::uint64_t>(total_bytes / 64, std::uint64_t{256} << 20);
}

std::uint64_t claimable(const promises& given) {
  const auto system = look();
  if (!system) return UINT64_MAX;
  const std::uint64_t spoken_for = reserve_of(system->total_bytes) + given.bytes;
  return system->available_bytes > spoken_for ? system->available_bytes - spoken_for : 0;
}

}  // namespace

host_claim::host_claim(std::string_view where, std::uint64_t bytes) {
  promises& given = all_promises();
  const std::lock_guard lock(given.mutex);
  const std::uint64_t available = claimable(given);
  if (bytes > available) {
    fail(status::out_of_host_memory, "backing in {}: needs {}, {} available: {} missing", where,
         format_bytes(bytes), format_bytes(available), format_bytes(bytes - available));
  }
  given.bytes += bytes;
  bytes_ = bytes;
}

void host_claim::settle(std::uint64_t bytes) noexcept {
  const std::uint64_t settled = std::min(bytes, bytes_);
  if (settled == 0) return;
  bytes_ -= settled;
  const std::lock_guard lock(all_promises().mutex);
  all_promises().bytes -= settled;
}

std::uint64_t claimable_bytes() {
  const std::lock_guard lock(all_promises().mutex);
  return claimable(all_promises());
}

void set_system_memory_probe(system_memory_probe probe) noexcept {
  probe_in_place.store(probe);
}

std::uint64_t default_arena_budget() {
  const auto system = look();
  return system ? system->total_bytes - system->total_bytes / 8 : UINT64_MAX;
}

}  // namespace lull::detail
