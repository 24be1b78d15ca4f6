#include "holdings.hpp"

#include <lull/error.hpp>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace lull::serve {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view host_device = "HOST";

/// A line "Name:   123 kB" of a file in /proc, in bytes.
std::uint64_t line_of(const fs::path& file, std::initializer_list<std::string_view> names) {
  std::ifstream in(file);
  std::uint64_t sum = 0;
  for (std::string line; std::getline(in, line);) {
    for (const std::string_view name : names) {
      if (line.size() <= name.size() || !line.starts_with(name) || line[name.size()] != ':') {
        continue;
      }
      const std::size_t digit = line.find_first_of("0123456789");
      if (digit == std::string::npos) continue;
      std::uint64_t kib = 0;
      std::from_chars(line.data() + digit, line.data() + line.size(), kib);
      sum += kib << 10;
    }
  }
  return sum;
}

std::uint64_t machine_bytes() {
  return line_of("/proc/meminfo", {"MemTotal"});
}

/// What a process has in memory that is no cache of files.
std::uint64_t host_bytes_of(int id) {
  return line_of(fmt::format("/proc/{}/status", id), {"RssAnon", "RssShmem", "VmSwap"});
}

/// The parent of each process (proc(5): the second word after the name in brackets).
std::map<int, std::vector<int>> children_of_all() {
  std::map<int, std::vector<int>> children;
  std::error_code failed;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", failed)) {
    const std::string name = entry.path().filename();
    int id = 0;
    const auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (wrong != std::errc{} || end != name.data() + name.size()) continue;
    std::string text;
    std::getline(std::ifstream(entry.path() / "stat"), text);
    const std::size_t bracket = text.rfind(')');
    if (bracket == std::string::npos || bracket + 4 >= text.size()) continue;
    int parent = 0;
    std::from_chars(text.data() + bracket + 4, text.data() + text.size(), parent);
    children[parent].push_back(id);
  }
  return children;
}

/// A process and all that it started, as far as /proc shows it.
std::vector<int> tree_in(const std::map<int, std::vector<int>>& children, int top) {
  std::vector<int> tree{top};
  for (std::size_t next = 0; next < tree.size(); ++next) {
    if (const auto found = children.find(tree[next]); found != children.end()) {
      tree.insert(tree.end(), found->second.begin(), found->second.end());
    }
  }
  return tree;
}

/// Absent: one of them is listed without a figure, which leaves the whole unknown.
std::optional<std::uint64_t> sum_of(const std::vector<device_process>& users,
                                    const std::vector<int>& tree) {
  std::uint64_t sum = 0;
  for (const device_process& user : users) {
    if (std::find(tree.begin(), tree.end(), user.id) == tree.end()) continue;
    if (!user.used_bytes) return {};
    sum += *user.used_bytes;
  }
  return sum;
}

/// @throws error (unsupported) where the platform cannot tell
std::uint64_t size_of(const device& gpu) {
  const auto total = gpu.memory().total_bytes;
  if (total) return *total;
  throw error(status::unsupported,
              fmt::format("{} does not say how large it is: give its capacity", gpu.name()));
}

shared_device shared_of(const device& gpu, const config& given) {
  shared_device made;
  made.books = {gpu.name(), size_of(gpu), given.margin_bytes, given.margin_share};
  made.gpu = gpu;
  return made;
}

shared_device shared_of(const device_config& wanted, const lull::registry& known) {
  shared_device made;
  if (wanted.name != host_device) made.gpu = known.find(wanted.name);
  made.own_capacity = wanted.capacity_bytes.has_value();
  made.books = {wanted.name, 0, wanted.margin_bytes, wanted.margin_share};
  made.books.capacity_bytes = made.own_capacity ? *wanted.capacity_bytes
                              : made.gpu        ? size_of(*made.gpu)
                                                : machine_bytes();
  return made;
}

}  // namespace

std::vector<shared_device> find_devices(const config& given, const lull::registry& known) {
  std::vector<shared_device> found;
  for (const device_config& each : given.devices) found.push_back(shared_of(each, known));
  if (!found.empty()) return found;
  for (const device& each : known.devices()) {
    if (each.type() != device_type::host) found.push_back(shared_of(each, given));
  }
  if (!found.empty()) return found;
  shared_device host;
  host.books = {std::string(host_device), machine_bytes(), given.margin_bytes, given.margin_share};
  return {host};
}

holdings::holdings(std::vector<shared_device> devices, std::function<std::vector<int>()> children,
                   log_sink log)
    : devices_(std::move(devices)), children_(std::move(children)), log_(std::move(log)) {}

bytes_by_device holdings::of(int top) const {
  return of_each({top})[top];
}

std::map<int, bytes_by_device> holdings::of_each(const std::vector<int>& tops) const {
  const auto children = children_of_all();
  std::map<int, std::vector<int>> trees;
  for (const int top : tops) trees[top] = tree_in(children, top);
  std::map<int, bytes_by_device> held;
  for (const shared_device& each : devices_) {
    if (!each.gpu) {
      for (const auto& [top, tree] : trees) {
        std::uint64_t sum = 0;
        for (const int id : tree) sum += host_bytes_of(id);
        held[top][each.books.name] = sum;
      }
      continue;
    }
    try {
      if (!each.gpu->supports(capability::processes)) continue;
      const std::vector<device_process> users = each.gpu->processes();
      for (const auto& [top, tree] : trees) {
        if (const auto sum = sum_of(users, tree)) held[top][each.books.name] = *sum;
      }
    } catch (const error& failure) {
      log_.write(log_level::debug, fmt::format("{}: {}", each.books.name, failure.what()));
    }
  }
  return held;
}

std::vector<budget_reading> holdings::used() const {
  std::vector<budget_reading> readings;
  for (const shared_device& each : devices_) {
    if (each.gpu) {
      try {
        const memory_info seen = each.gpu->memory();
        if (seen.free_bytes && seen.total_bytes) {
          readings.push_back({each.books.name, *seen.total_bytes - *seen.free_bytes});
        }
      } catch (const error& failure) {
        log_.write(log_level::warning, fmt::format("{}: {}", each.books.name, failure.what()));
      }
    } else if (each.own_capacity) {
      const auto children = children_of_all();
      std::uint64_t sum = 0;
      for (const int top : children_()) {
        for (const int id : tree_in(children, top)) sum += host_bytes_of(id);
      }
      readings.push_back({each.books.name, sum});
    } else {
      const std::uint64_t available = line_of("/proc/meminfo", {"MemAvailable"});
      const std::uint64_t total = machine_bytes();
      readings.push_back({each.books.name, total > available ? total - available : 0});
    }
  }
  return readings;
}

std::vector<device> holdings::gpus() const {
  std::vector<device> found;
  for (const shared_device& each : devices_) {
    if (each.gpu) found.push_back(*each.gpu);
  }
  return found;
}

bool holdings::can_suspend() const {
  return std::any_of(devices_.begin(), devices_.end(), [](const shared_device& each) {
    return each.gpu && each.gpu->supports(capability::suspend);
  });
}

bool is_too_large(const budget_snapshot& books, const std::string& model) {
  const auto on = [](const bytes_by_device& bytes, const std::string& device) {
    const auto found = bytes.find(device);
    return found != bytes.end() ? found->second : 0;
  };
  return std::any_of(
      books.devices.begin(), books.devices.end(), [&](const budget_device_snapshot& device) {
        std::uint64_t asked = 0;
        std::uint64_t stays = device.margin_bytes;
        for (const budget_model_snapshot& each : books.models) {
          if (each.name == model) asked = on(each.estimate, device.name);
          if (each.name != model && each.pinned) stays += on(each.holds, device.name);
        }
        return asked > 0 &&
               (stays > device.capacity_bytes || asked > device.capacity_bytes - stays);
      });
}

}  // namespace lull::serve
