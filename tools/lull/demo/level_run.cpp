#include "level_run.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <algorithm>
#include <chrono>
#include <exception>

#include <fmt/format.h>

#include "clients.hpp"
#include "interrupt.hpp"
#include "memory_sampler.hpp"

namespace lull::demo {
namespace {

using namespace std::chrono_literals;

constexpr auto sample_period = 20ms;
constexpr auto asleep_time = 1s;         // long enough to be seen, and for observers to do harm
constexpr auto awake_time = 500ms;       // below the idle time
constexpr auto transition_limit = 600s;  // a large model from a slow disk takes its time

std::string describe(seconds span) {
  return fmt::format("{:.2f} s", span.count());
}

/// One server while it is driven through its phases.
class level_driver {
 public:
  level_driver(const level_options& options, const device& where, const std::stop_token& stop)
      : options_(options),
        stop_(stop),
        used_before_(used_on(where)),
        server_(options.server, stop),
        probe_(probe_for(where, server_.id(), server_.port(), used_before_)),
        sampler_(probe_, sample_period, server_.started_at()),
        observer_(server_.port(), server_.started_at()),
        control_(server_.port(), transition_limit) {}

  level_result run() {
    level_result result;
    result.level = options_.server.level;
    try {
      drive(result);
    } catch (const error& failure) {
      if (stop_.stop_requested()) throw error(status::cancelled, "interrupted");
      throw error(failure.code(), failure.what() + server_.condition());
    }
    result.observed = observer_.so_far();
    result.memory = {std::string(to_string(result.level)), sampler_.samples(),
                     result.observed.phases};
    return result;
  }

 private:
  void drive(level_result& result) {
    observer_.await(phase_kind::awake, limit(), stop_);
    reference_ = ask_all(server_.port(), options_.clients, transition_limit).texts;
    say(fmt::format("awake with {}, {} answers recorded", format_bytes(measured()),
                    reference_.size()));
    for (const sleep_cause cause : {sleep_cause::idle, sleep_cause::request}) {
      result.cycles.push_back(cycle(cause));
      pause_for(awake_time, stop_);
    }
    result.graphs = control_.graphs();
  }

  sleep_cycle cycle(sleep_cause cause) {
    sleep_cycle result;
    result.level = options_.server.level;
    result.cause = cause;
    result.awake_bytes = measured();
    const std::uint64_t wakes_before = control_.wakes();
    const graph_counts graphs_before = control_.graphs();
    result.graph_bytes = graphs_before.held_bytes;

    if (cause == sleep_cause::request) control_.sleep();
    observer_.await(phase_kind::asleep, limit(), stop_);
    const seconds asleep_from = steady_clock().now() - server_.started_at();
    result.to_sleep = control_.last_transition();
    result.graph_bytes_returned = control_.graphs().returned_bytes - graphs_before.returned_bytes;
    pause_for(asleep_time, stop_);
    const std::uint64_t wakes_asleep = control_.wakes();
    result.wakes_by_observing = wakes_asleep - wakes_before;
    result.asleep_bytes = most_since(asleep_from);
    say(fmt::format("asleep by {} with {}, after {}", to_string(cause),
                    format_bytes(result.asleep_bytes), describe(result.to_sleep)));

    const answers again = ask_all(server_.port(), options_.clients, transition_limit);
    observer_.await(phase_kind::awake, limit(), stop_);
    result.awake_again_bytes = measured();
    result.first_answer = again.first;
    result.to_wake = control_.last_transition();
    result.answers_equal = again.texts == reference_;
    result.wakes = control_.wakes() - wakes_asleep;
    say(fmt::format("woken by {} clients with {}, after {}", options_.clients,
                    format_bytes(result.awake_again_bytes), describe(result.to_wake)));
    return result;
  }

  [[nodiscard]] std::uint64_t measured() const {
    const auto bytes = probe_();
    if (!bytes) throw error(status::io, "the server's memory cannot be measured");
    return *bytes;
  }

  [[nodiscard]] std::uint64_t most_since(seconds from) const {
    std::uint64_t most = measured();
    for (const memory_sample& one : sampler_.samples()) {
      if (one.at >= from) most = std::max(most, one.bytes);
    }
    return most;
  }

  [[nodiscard]] static time_point limit() { return steady_clock().deadline_in(transition_limit); }

  void say(const std::string& what) const {
    options_.progress(fmt::format("{}: {}", to_string(options_.server.level), what));
  }

  const level_options& options_;
  const std::stop_token& stop_;
  std::optional<std::uint64_t> used_before_;  ///< on the device, by others
  server_process server_;
  memory_probe probe_;
  memory_sampler sampler_;
  observer observer_;
  server_client control_;
  std::vector<std::string> reference_;
};

}  // namespace

std::string_view to_string(sleep_cause cause) noexcept {
  switch (cause) {
    case sleep_cause::idle: return "idle time";
    case sleep_cause::request: return "POST /sleep";
  }
  return "?";
}

double sleep_cycle::fell_by(std::uint64_t weights_bytes) const noexcept {
  return (static_cast<double>(awake_bytes) - static_cast<double>(asleep_bytes)) /
         static_cast<double>(weights_bytes);
}

level_result run_level(const level_options& options, const device& where,
                       const std::stop_token& stop) {
  level_driver driver(options, where, stop);
  return driver.run();
}

}  // namespace lull::demo
