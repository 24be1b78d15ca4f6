// settle() itself: real probes on their threads, real waiting.

#include <lull/settle.hpp>

#include <condition_variable>
#include <iterator>
#include <mutex>
#include <utility>

#include "core/device_access.hpp"
#include "core/probe_thread.hpp"
#include "settle/driver.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/text.hpp"

namespace lull {

/// What a probe keeps to itself.
struct probe_access {
  static const std::shared_ptr<const memory_probe::read_callback>& read(const memory_probe& probe) {
    return probe.read_;
  }
  static detail::probe_thread& thread(const memory_probe& probe) { return *probe.thread_; }
};

namespace {

using detail::call_outcome;
using detail::sample_failure;
using readings = std::vector<memory_reading>;

class real_world final : public detail::settle_world {
 public:
  real_world(const std::vector<memory_probe>& probes, const settle_options& options,
             const clock& time)
      : probes_(probes), stop_(options.stop), clock_(time) {}

  [[nodiscard]] time_point now() const noexcept override { return clock_.now(); }

  [[nodiscard]] std::variant<readings, sample_failure> sample(time_point deadline) override {
    readings all;
    for (const memory_probe& probe : probes_) {
      auto part = ask(probe, deadline);
      if (std::holds_alternative<sample_failure>(part)) return part;
      auto& figures = std::get<readings>(part);
      std::move(figures.begin(), figures.end(), std::back_inserter(all));
    }
    return all;
  }

  [[nodiscard]] bool wait_until(time_point moment) override {
    const std::stop_callback wake_up(stop_, [this] {
      { const std::lock_guard lock(mutex_); }
      woken_.notify_all();
    });
    std::unique_lock lock(mutex_);
    while (!stop_.stop_requested() && clock_.now() < moment) {
      clock_.wait_until(woken_, lock, moment);
    }
    return !stop_.stop_requested();
  }

 private:
  [[nodiscard]] std::variant<readings, sample_failure> ask(const memory_probe& probe,
                                                           time_point deadline) const;

  const std::vector<memory_probe>& probes_;
  std::stop_token stop_;
  const clock& clock_;
  std::mutex mutex_;
  std::condition_variable woken_;
};

std::variant<readings, sample_failure> real_world::ask(const memory_probe& probe,
                                                       time_point deadline) const {
  const auto failed = [&](settle_status status, std::string_view why) {
    return sample_failure{status, detail::text("{}: {}", probe.name(), why)};
  };
  try {
    auto answer = probe_access::thread(probe).call(
        clock_, [read = probe_access::read(probe)] { return (*read)(); }, deadline, stop_);
    switch (answer.outcome) {
      case call_outcome::returned: return std::move(*answer.value);
      case call_outcome::late:
        return failed(settle_status::timed_out, "the memory probe has not answered in time");
      case call_outcome::still_hanging:
        return failed(settle_status::probe_failed, "an earlier memory probe still hangs");
      case call_outcome::cancelled: return sample_failure{settle_status::cancelled, "told to stop"};
    }
    return failed(settle_status::probe_failed, "unknown outcome");
  } catch (...) {
    const error failure = detail::current_error(status::callback);
    const bool gone = failure.code() == status::not_found;
    return failed(gone ? settle_status::devices_changed : settle_status::probe_failed,
                  failure.what());
  }
}

settle_result skipped(settle_skip why) {
  settle_result result;
  result.skip = why;
  return result;
}

settle_result wait_for(const std::vector<memory_probe>& probes, const settle_options& options,
                       const detail::settle_run& run) {
  real_world world(probes, options, run.time());
  return run.wait(world);
}

}  // namespace

memory_probe::memory_probe(std::string name, read_callback read) : name_(std::move(name)) {
  if (!read) {
    detail::fail(status::invalid_argument, "memory probe '{}' needs a function that reads", name_);
  }
  read_ = std::make_shared<const read_callback>(std::move(read));
  thread_ = std::make_shared<detail::probe_thread>();
}

memory_probe::memory_probe(const device& where) : name_(where.name()) {
  const auto& state = detail::device_access::state(where);
  // Not device::memory(), which would wait for the very thread that this runs on.
  read_ = std::make_shared<const read_callback>([state] {
    return readings{{state->name, detail::ask_memory(*state->backend, state->index, state->name)}};
  });
  thread_ = state->prober;
}

settle_result settle(const std::vector<memory_probe>& probes, const settle_options& options) {
  detail::expect_same_process();
  const detail::settle_run run(options);
  if (probes.empty()) return skipped(settle_skip::no_device);
  // The coarse time lags by 10 ms at most, which is nothing against stale_after.
  const settle_skip why = run.reason_to_skip(run.time().coarse_now());
  if (why != settle_skip::none) return skipped(why);
  return wait_for(probes, options, run);
}

settle_result settle(const std::vector<device>& devices, const settle_options& options) {
  detail::expect_same_process();
  const detail::settle_run run(options);
  if (devices.empty()) return skipped(settle_skip::no_device);
  const time_point now = run.time().coarse_now();
  const settle_skip why = run.reason_to_skip(now);
  if (why != settle_skip::none) return skipped(why);

  // A device without a release of its own is not even asked: it might hang for reasons of others.
  std::vector<memory_probe> probes;
  std::vector<device_settlement> others;
  for (const device& each : devices) {
    if (run.recent_release(each.name(), now)) {
      probes.emplace_back(each);
    } else {
      others.push_back({.device = each.name(), .verdict = settle_verdict::not_released});
    }
  }
  settle_result result =
      probes.empty() ? skipped(settle_skip::nothing_released) : wait_for(probes, options, run);
  std::move(others.begin(), others.end(), std::back_inserter(result.devices));
  return result;
}

std::string_view to_string(settle_status status) noexcept {
  switch (status) {
    case settle_status::settled: return "settled";
    case settle_status::timed_out: return "timed out";
    case settle_status::skipped: return "skipped";
    case settle_status::probe_failed: return "probe failed";
    case settle_status::devices_changed: return "devices changed";
    case settle_status::cancelled: return "cancelled";
  }
  return "?";
}

std::string_view to_string(settle_skip why) noexcept {
  switch (why) {
    case settle_skip::none: return "not skipped";
    case settle_skip::nothing_released: return "no release is recorded";
    case settle_skip::released_long_ago: return "the last release is long ago";
    case settle_skip::no_device: return "there is no device";
    case settle_skip::free_unknown: return "no device says what is free";
  }
  return "?";
}

std::string_view to_string(settle_verdict verdict) noexcept {
  switch (verdict) {
    case settle_verdict::waiting: return "waiting";
    case settle_verdict::gained: return "gained";
    case settle_verdict::stable: return "stable";
    case settle_verdict::not_released: return "not released";
    case settle_verdict::unknown: return "unknown";
  }
  return "?";
}

std::string_view to_string(settle_gain gain) noexcept {
  switch (gain) {
    case settle_gain::none_expected: return "none expected";
    case settle_gain::arrived: return "arrived";
    case settle_gain::already_there: return "already there";
    case settle_gain::not_seen: return "not seen";
    case settle_gain::impossible: return "impossible";
  }
  return "?";
}

}  // namespace lull
