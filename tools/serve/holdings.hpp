#ifndef TOOLS_SERVE_HOLDINGS_HPP
#define TOOLS_SERVE_HOLDINGS_HPP

/// @file
/// What devices hold, and what of it is a child's and of those that it started.

#include <lull/budget.hpp>
#include <lull/device.hpp>
#include <lull/log.hpp>
#include <lull/registry.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace lull::serve {

/// A device that models share.
struct shared_device {
  budget_device books;
  /// Absent: host memory.
  std::optional<device> gpu = {};
  /// Only what models hold counts, since the capacity is one that somebody has thought of.
  bool own_capacity = false;

  [[nodiscard]] std::string uuid() const { return gpu ? gpu->uuid() : std::string(); }
};

/// The devices of the configuration; where it names none all GPUs, and the memory of the machine
/// where there is none.
/// @throws error (not_found) for a device that is not there
[[nodiscard]] std::vector<shared_device> find_devices(const config& given,
                                                      const lull::registry& known);

/// Asks devices and /proc. Blocks for as long as these take. Thread-safe.
class holdings {
 public:
  /// @param children the processes that are models, asked for at each reading; called on any thread
  holdings(std::vector<shared_device> devices, std::function<std::vector<int>()> children,
           log_sink log);

  /// What a process and its descendants hold, on the devices that list processes. 0 may mean that
  /// it is listed under another number, as in a container.
  [[nodiscard]] bytes_by_device of(int top) const;
  /// The same of several, in one look.
  [[nodiscard]] std::map<int, bytes_by_device> of_each(const std::vector<int>& tops) const;
  /// What is used of each device by everybody.
  [[nodiscard]] std::vector<budget_reading> used() const;

  [[nodiscard]] const std::vector<shared_device>& devices() const noexcept { return devices_; }
  /// Those that are not host memory.
  [[nodiscard]] std::vector<device> gpus() const;
  /// Whether the driver can take a process off its GPUs here.
  [[nodiscard]] bool can_suspend() const;

 private:
  std::vector<shared_device> devices_;
  std::function<std::vector<int>()> children_;
  log_sink log_;
};

/// Whether a model has no room on a device even without other programs: then asking again later is
/// of no use, unless somebody changes what is pinned.
[[nodiscard]] bool is_too_large(const budget_snapshot& books, const std::string& model);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_HOLDINGS_HPP
