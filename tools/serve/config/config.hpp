#ifndef TOOLS_SERVE_CONFIG_CONFIG_HPP
#define TOOLS_SERVE_CONFIG_CONFIG_HPP

/// @file
/// What `lull serve` is told by its configuration file, with all macros filled in and all defaults
/// in place. docs/serve.md says what each key means; reader.hpp reads it.

#include <lull/budget.hpp>
#include <lull/clock.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace lull::serve {

/// Where something listens.
struct endpoint {
  std::string host = "127.0.0.1";  ///< a name or an address; IPv6 without brackets
  std::uint16_t port = 0;

  /// Whether only this machine reaches it: 127.0.0.0/8, ::1, localhost.
  [[nodiscard]] bool is_loopback() const;
  /// "127.0.0.1:8080", "[::1]:8080".
  [[nodiscard]] std::string text() const;
  bool operator==(const endpoint&) const = default;
};

/// How a model is put away.
enum class sleep_way : std::uint8_t {
  automatic,  ///< the best of those below that this machine, these rights and this server have
  driver,     ///< the driver takes the whole process off its GPUs
  routes,     ///< the server's own: `POST /sleep?level=`, `POST /wake_up`
  stop,       ///< the process ends
};

/// One depth to which a model is put away.
struct sleep_rung {
  /// "auto", "offload", "discard", "suspend" or "stop".
  std::string level;
  sleep_way way = sleep_way::automatic;
  /// After so long without a request. Absent: only by need, or when somebody asks.
  std::optional<duration> after = {};
  /// What stays on devices, where somebody has said so.
  std::optional<bytes_by_device> left = {};

  bool operator==(const sleep_rung&) const = default;
};

/// A model, and the server that serves it.
struct model_config {
  std::string name;        ///< what requests call it
  std::string title = {};  ///< `name`: for people
  std::string description = {};
  std::vector<std::string> aliases = {};
  std::vector<std::string> unlisted_aliases = {};  ///< of these: not in /v1/models
  bool unlisted = false;                           ///< not in /v1/models

  std::vector<std::string> command = {};  ///< `cmd` in words
  /// `cmdStop` in words; `${PID}` may still be among them. Empty: SIGTERM.
  std::vector<std::string> stop_command = {};
  std::vector<std::string> environment = {};  ///< `NAME=value`, beside what the router has

  endpoint upstream = {};  ///< of `proxy`
  std::string upstream_path =
      {};  ///< what goes before each path: "" or "/api", no slash at its end
  /// What answers 200 when it is ready. Empty (`none`): it is ready when it listens.
  std::string check_path = "/health";
  duration check_timeout = std::chrono::seconds{120};  ///< to be ready after its start
  duration stop_timeout = std::chrono::seconds{10};    ///< to end after it was told to
  std::uint32_t concurrency_limit = 0;                 ///< 429 beyond it; 0: none

  /// What it holds when it is ready. Empty: not known before it was loaded once.
  bytes_by_device memory = {};
  /// The same, said without a device: on the only GPU there is.
  std::optional<std::uint64_t> memory_anywhere = {};
  /// Shallow first, idle times growing. The last is always `stop`.
  std::vector<sleep_rung> ladder = {};
  bool pinned = false;
  bool preload = false;
  std::int32_t priority = 0;
  duration min_resident{};
  /// How long a request may wait for it. Absent: as long as the client stays.
  std::optional<duration> max_wait = {};
  /// Its server may listen where others reach it, past the router.
  bool allow_remote = false;

  bool operator==(const model_config&) const = default;
};

/// Models that go together, as in llama-swap. Memory decides besides.
struct group_config {
  std::string name;
  bool swap = true;         ///< of its members one at a time
  bool exclusive = true;    ///< a member that comes in puts away all other groups
  bool persistent = false;  ///< other groups never put it away
  std::vector<std::string> members = {};

  bool operator==(const group_config&) const = default;
};

struct device_config {
  std::string name;
  std::optional<std::uint64_t> capacity_bytes = {};  ///< absent: what the device has
  std::uint64_t margin_bytes = std::uint64_t{1} << 30;
  double margin_share = 0;  ///< of the capacity; the larger of both counts

  bool operator==(const device_config&) const = default;
};

/// What one client, or all, may take of the router itself.
struct limits_config {
  std::size_t connections = 4096;
  std::size_t header_bytes = std::size_t{64} << 10;
  /// Of a body that has to be read to find its model. What goes to /upstream is not kept.
  std::uint64_t body_bytes = std::uint64_t{64} << 20;
  duration header_time = std::chrono::seconds{10};  ///< for the headers to be complete
  duration idle_time = std::chrono::seconds{75};    ///< between requests of a connection

  bool operator==(const limits_config&) const = default;
};

/// Of the whole time to end: when servers are killed, so that all is over in time.
inline constexpr std::chrono::seconds time_to_kill{1};

/// How it ends, counted from SIGTERM.
struct drain_config {
  /// Still served as before, since whoever sends requests here learns late that it should not.
  duration delay{};
  /// After that, for the requests that are under way to come to their end.
  duration requests = std::chrono::seconds{30};
  /// For all of it, the end of the servers included. Absent: each server has its time to end.
  std::optional<duration> total = {};

  bool operator==(const drain_config&) const = default;
};

struct config {
  std::vector<endpoint> listen = {{.host = "127.0.0.1", .port = 8080}};
  /// What changes state needs it. From `token`, or the first line of `token_file`.
  std::optional<std::string> token = {};
  std::vector<std::string> allowed_hosts = {};  ///< Host headers besides those of this machine
  limits_config limits = {};
  drain_config drain = {};

  /// Empty: all GPUs that the library finds.
  std::vector<device_config> devices = {};
  /// For devices that are not listed.
  std::uint64_t margin_bytes = std::uint64_t{1} << 30;
  double margin_share = 0;

  /// In the order of the file.
  std::vector<model_config> models = {};
  /// Empty where the file has none: then memory alone decides.
  std::vector<group_config> groups = {};

  /// How long one that waits may be overtaken (budget_options::max_wait).
  duration fair_wait = std::chrono::seconds{30};
  /// Where logs, pid files and what loads were measured at are kept. Empty: the default place.
  std::string state_folder = {};

  /// By name or alias; null: there is none.
  [[nodiscard]] const model_config* find(const std::string& name) const;
  bool operator==(const config&) const = default;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_CONFIG_CONFIG_HPP
