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

std::optional<std::uint64_t> device_bytes(int port) {
  constexpr std::chrono::seconds patience{5};
  try {
    const std::string text = server_client(port, patience).metrics();
    const auto find = [&text](std::string_view name) -> std::optional<std::uint64_t> {
      try {
        return static_cast<std::uint64_t>(metric(text, name));
      } catch (const error&) {
        return std::nullopt;
      }
    };
    if (const auto used = find("lull_device_used_bytes")) return used;
    const auto total = find("lull_device_total_bytes");
    const auto free = find("lull_device_free_bytes");
    if (total && free) return *total - *free;
  } catch (const error&) {
    // A server that is not listening any more holds nothing that could be told.
  }
  return std::nullopt;
}

}  // namespace

memory_probe probe_for(const device& where, pid_t process, int port) {
  if (where.type() == device_type::host) return [process] { return resident_bytes(process); };
  return [port] { return device_bytes(port); };
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
