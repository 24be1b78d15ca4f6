#ifndef TOOLS_LULL_DEMO_MEMORY_SAMPLER_HPP
#define TOOLS_LULL_DEMO_MEMORY_SAMPLER_HPP

#include <lull/clock.hpp>
#include <lull/device.hpp>

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "timeline.hpp"

namespace lull::demo {

/// Measures once; absent when it cannot be told.
using memory_probe = std::function<std::optional<std::uint64_t>()>;

/// The resident set of a process; absent when there is no such process or it has no memory any
/// more.
std::optional<std::uint64_t> resident_bytes(pid_t process);

/// What is in use on a device, by whoever; absent when it cannot be told, and for the host.
std::optional<std::uint64_t> used_on(const device& where);

/// What shows the memory that a server holds on `where`: the one place that decides what the demo
/// plots. Memory of a host device is memory of its process, so there it is the resident set. Of a
/// GPU it is what the server's own /metrics say, which it knows without a context. Where it does
/// not, because the platform cannot tell or the server is suspended and may not ask, it is what is
/// seen from here: how much more is in use on the device than before the server was started.
memory_probe probe_for(const device& where, pid_t process, int port,
                       std::optional<std::uint64_t> used_before);

/// Measures again and again on a thread of its own, from construction to destruction.
class memory_sampler {
 public:
  /// @param origin the time that samples are relative to
  memory_sampler(memory_probe probe, duration period, time_point origin);
  memory_sampler(const memory_sampler&) = delete;
  memory_sampler& operator=(const memory_sampler&) = delete;

  /// All so far. A moment at which the probe could not tell has no sample. Thread-safe.
  [[nodiscard]] std::vector<memory_sample> samples() const;

 private:
  void run(const std::stop_token& stop, const memory_probe& probe, duration period,
           time_point origin);

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<memory_sample> samples_;
  std::jthread thread_;
};

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_MEMORY_SAMPLER_HPP
