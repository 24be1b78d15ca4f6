#include "memory_sampler.hpp"

#include <lull/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "server_client.hpp"

namespace lull::demo {

std::optional<std::uint64_t> resident_bytes(pid_t process) {
  std::ifstream statm(fmt::format("/proc/{}/statm", process));
  std::uint64_t total_pages = 0;
  std::uint64_t resident_pages = 0;
  // A process that has ended but is not reaped yet still has the file, with zeros in it.
  if (!(statm >> total_pages >> resident_pages) || total_pages == 0) return std::nullopt;
  return resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

namespace {

/// As the server knows it.
std::optional<std::uint64_t> device_bytes(int port) {
  constexpr std::chrono::seconds patience{5};
  try {
    return static_cast<std::uint64_t>(
        metric(server_client(port, patience).metrics(), "lull_device_used_bytes"));
  } catch (const error&) {
    // It does not know, or is not listening any more.
    return std::nullopt;
  }
}

}  // namespace

std::optional<std::uint64_t> used_on(const device& where) {
  if (where.type() == device_type::host) return std::nullopt;
  try {
    const memory_info seen = where.memory();
    if (!seen.total_bytes || !seen.free_bytes) return std::nullopt;
    return *seen.total_bytes - *seen.free_bytes;
  } catch (const error&) {
    return std::nullopt;
  }
}

memory_probe probe_for(const device& where, pid_t process, int port,
                       std::optional<std::uint64_t> used_before) {
  if (where.type() == device_type::host) return [process] { return resident_bytes(process); };
  return [where, port, used_before]() -> std::optional<std::uint64_t> {
    if (const auto told = device_bytes(port)) return told;
    const auto used = used_on(where);
    if (!used || !used_before) return std::nullopt;
    return *used - std::min(*used, *used_before);
  };
}

memory_sampler::memory_sampler(memory_probe probe, duration period, time_point origin)
    : thread_([this, probe = std::move(probe), period, origin](const std::stop_token& stop) {
        run(stop, probe, period, origin);
      }) {}

std::vector<memory_sample> memory_sampler::samples() const {
  const std::lock_guard lock(mutex_);
  return samples_;
}

void memory_sampler::run(const std::stop_token& stop, const memory_probe& probe, duration period,
                         time_point origin) {
  time_point next = steady_clock().now();
  while (!stop.stop_requested()) {
    const auto bytes = probe();
    const time_point now = steady_clock().now();
    std::unique_lock lock(mutex_);
    if (bytes) samples_.push_back({now - origin, *bytes});
    // A sample that came late does not make the following ones come in a burst.
    next = std::max(next + period, now);
    wake_.wait_until(lock, stop, next, [] { return false; });
  }
}

}  // namespace lull::demo
