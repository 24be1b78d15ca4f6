#include "hip/telemetry.hpp"

#include <lull/backend.hpp>

#include <dirent.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <memory>
#include <system_error>

namespace lull::backends {
namespace {

namespace fs = std::filesystem;

/// @throws backend_failure for want of the means to look, which is not that there is nothing
void expect_means(const fs::path& place, int code) {
  if (code != EMFILE && code != ENFILE && code != ENOMEM) return;
  throw backend_failure(LULL_ERROR_IO, "open", code,
                        place.string() + ": " + std::generic_category().message(code));
}

std::ifstream open_file(const fs::path& file) {
  errno = 0;
  std::ifstream in(file);
  if (!in.is_open()) expect_means(file, errno);
  return in;
}

/// What is in a directory; nothing where it is not. Not by std::filesystem, whose iterator ends the
/// process where there is no memory (libstdc++ 12).
std::vector<std::string> names_in(const fs::path& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
  if (!open) expect_means(folder, errno);
  std::vector<std::string> names;
  while (open) {
    const dirent* const entry = ::readdir(open.get());
    if (entry == nullptr) break;
    names.emplace_back(entry->d_name);
  }
  return names;
}

std::optional<std::uint64_t> read_number(const fs::path& file) {
  std::ifstream in = open_file(file);
  std::uint64_t value = 0;
  if (!(in >> value)) return std::nullopt;
  return value;
}

/// "0000:65:00.0" of a node's `domain` and `location_id`, which holds bus, device and function
/// (kfd_topology.c). Empty for the node of the CPU.
std::string pci_address_of(const fs::path& node) {
  std::ifstream in = open_file(node / "properties");
  std::string key;
  std::uint64_t value = 0;
  std::uint64_t domain = 0;
  std::uint64_t location = 0;
  while (in >> key >> value) {
    if (key == "domain") domain = value;
    if (key == "location_id") location = value;
  }
  if (location == 0) return {};
  char text[32];
  std::snprintf(text, sizeof text, "%04x:%02x:%02x.%x", static_cast<unsigned>(domain & 0xffff),
                static_cast<unsigned>(location >> 8 & 0xff),
                static_cast<unsigned>(location >> 3 & 0x1f), static_cast<unsigned>(location & 7));
  return text;
}

}  // namespace

std::vector<std::string> hip_telemetry::kfd_ids(const std::string& pci_address) const {
  std::vector<std::string> ids;
  const fs::path nodes = sysfs_ / "class/kfd/kfd/topology/nodes";
  for (const std::string& name : names_in(nodes)) {
    if (pci_address_of(nodes / name) != pci_address) continue;
    if (const auto id = read_number(nodes / name / "gpu_id")) ids.push_back(std::to_string(*id));
  }
  return ids;
}

std::vector<lull_backend_process> hip_telemetry::processes(const std::string& pci_address) const {
  const fs::path list = sysfs_ / "class/kfd/kfd/proc";
  const auto ids = kfd_ids(pci_address);
  std::error_code failed;
  if (ids.empty() || !fs::exists(list, failed)) {
    throw backend_failure(LULL_ERROR_UNSUPPORTED, "", 0, "there is no " + list.string());
  }
  if (ids.size() > 1) {
    throw backend_failure(
        LULL_ERROR_UNSUPPORTED, "", 0,
        "the processes of a partition cannot be told from those of the others at " + pci_address);
  }
  std::vector<lull_backend_process> processes;
  for (const std::string& name : names_in(list)) {
    std::int64_t process = 0;
    const auto [stop, bad] = std::from_chars(name.data(), name.data() + name.size(), process);
    if (bad != std::errc{} || stop != name.data() + name.size()) continue;
    // One that ends meanwhile takes its files with it.
    const auto used = read_number(list / name / ("vram_" + ids.front()));
    if (used && *used != 0) processes.push_back({process, *used});
  }
  return processes;
}

void hip_telemetry::observe(const std::string& pci_address, bool has_context,
                            lull_backend_memory& out) {
  // The files are about the whole GPU; this process may see one partition of it, and not know
  // which.
  if (kfd_ids(pci_address).size() > 1) return;
  const fs::path device = sysfs_ / "bus/pci/devices" / pci_address;
  const auto total = read_number(device / "mem_info_vram_total");
  const auto used = read_number(device / "mem_info_vram_used");
  if (total && used && *total != 0) {
    out.source = LULL_SOURCE_KERNEL;
    out.total_bytes = *total;
    out.free_bytes = *used < *total ? *total - *used : 0;
  }
  if (const auto ours = held(pci_address, has_context)) {
    out.source = LULL_SOURCE_KERNEL;
    out.used_by_process_bytes = *ours;
  }
}

// The driver lists a process while it has the GPU open, also with nothing on it: the HIP runtime
// opens it with its first call and never closes it. So a process that uses the runtime and is not
// in the list is known there by another id.
std::optional<std::uint64_t> hip_telemetry::held(const std::string& pci_address, bool has_context) {
  const fs::path list = sysfs_ / "class/kfd/kfd/proc";
  const auto ids = kfd_ids(pci_address);
  std::error_code failed;
  if (ids.size() != 1 || !fs::exists(list, failed)) return std::nullopt;
  const auto listed = read_number(list / std::to_string(self_.id()) / ("vram_" + ids.front()));
  return self_.judge(listed, has_context);
}

}  // namespace lull::backends
