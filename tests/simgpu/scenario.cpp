#include <charconv>
#include <fstream>
#include <stdexcept>

#include "simgpu/world.hpp"

namespace simgpu {
namespace {

std::uint64_t parse_size(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (failed == std::errc{}) {
    if (unit.empty()) return value;
    if (unit == "MiB") return value << 20;
    if (unit == "GiB") return value << 30;
  }
  throw std::invalid_argument("SIMGPU: not a size: " + std::string{text});
}

void set(scenario& made, std::string_view key, std::string_view value) {
  const auto number = [&] { return static_cast<int>(parse_size(value)); };
  if (key == "devices") {
    made.devices = number();
  } else if (key == "total") {
    made.total_bytes = parse_size(value);
  } else if (key == "context") {
    made.context_bytes = parse_size(value);
  } else if (key == "foreign") {
    made.foreign_bytes = parse_size(value);
  } else if (key == "residue") {
    made.residue_bytes = parse_size(value);
  } else if (key == "reclaim_ms") {
    made.reclaim_delay = std::chrono::milliseconds{number()};
  } else if (key == "stable_addresses") {
    made.stable_addresses = number() != 0;
  } else if (key == "reset_keeps_addresses") {
    made.reset_keeps_addresses = number() != 0;
  } else if (key == "pid_offset") {
    made.pid_offset = number();
  } else if (key == "per_process") {
    made.per_process = number() != 0;
  } else if (key == "slowdown") {
    made.speed.slowdown = number();
  } else if (key == "scale") {
    made.speed.scale = number();
  } else if (key == "pin_percent") {
    made.speed.pin_share = number() / 100.0;
  } else if (key == "driver") {
    made.driver_version = number();
  } else {
    throw std::invalid_argument("SIMGPU: no such setting: " + std::string{key});
  }
}

}  // namespace

scenario parse_scenario(std::string_view text) {
  scenario made;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    const std::string_view entry = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t equals = std::min(entry.find('='), entry.size() - 1);
    set(made, entry.substr(0, equals), entry.substr(equals + 1));
  }
  return made;
}

void world::set_sysfs(const std::filesystem::path& root) {
  const std::lock_guard lock(mutex_);
  sysfs_ = root;
  written_.clear();
  write_sysfs();
}

void world::write_file(const std::filesystem::path& file, const std::string& text) const {
  const auto [entry, fresh] = written_.try_emplace(file.string());
  if (!fresh && entry->second == text) return;
  entry->second = text;
  if (fresh) std::filesystem::create_directories(file.parent_path());
  // As the kernel does it: a reader sees the old or the new figure, never half of one.
  const auto beside = file.string() + ".new";
  std::ofstream(beside) << text << '\n';
  std::filesystem::rename(beside, file);
}

/// The files of AMD's kernel driver that are read to observe. Node 0 is the CPU, as on real
/// machines.
void world::write_sysfs() const {
  if (vendor_ != vendor::hip || sysfs_.empty()) return;
  const auto kfd = sysfs_ / "class/kfd/kfd";
  write_file(kfd / "topology/nodes/0/gpu_id", "0");
  write_file(kfd / "topology/nodes/0/properties", "cpu_cores_count 16\nlocation_id 0\ndomain 0");
  std::filesystem::create_directories(kfd / "proc");
  for (int device = 0; device < device_count(); ++device) {
    const std::string address = pci_address(device);
    const auto bus = static_cast<unsigned>(std::stoul(address.substr(5, 2), nullptr, 16));
    const std::string id = std::to_string(50000 + 7 * device);
    const auto node = kfd / "topology/nodes" / std::to_string(device + 1);
    const figures seen = observe(device);
    write_file(node / "gpu_id", id);
    write_file(node / "properties", "location_id " + std::to_string(bus << 8) + "\ndomain 0");
    write_file(sysfs_ / "bus/pci/devices" / address / "mem_info_vram_total",
               std::to_string(made_.answers_zero ? 0 : seen.total_bytes));
    write_file(sysfs_ / "bus/pci/devices" / address / "mem_info_vram_used",
               std::to_string(made_.answers_zero ? 0 : seen.used_bytes));
    // The driver also lists who has the device open and holds nothing.
    write_file(kfd / "proc" / std::to_string(seen.foreign_pid) / ("vram_" + id),
               std::to_string(seen.foreign_bytes));
    if (seen.ours) {
      write_file(kfd / "proc" / std::to_string(seen.listed_pid) / ("vram_" + id),
                 std::to_string(*seen.ours));
    }
  }
}

}  // namespace simgpu
