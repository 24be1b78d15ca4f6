#include "memory/numa.hpp"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <fstream>

#include "vocabulary/text.hpp"

namespace lull::detail {

std::optional<unsigned> numa_node_of(std::string_view pci_address, const std::string& sysfs) {
  if (pci_address.empty()) return std::nullopt;
  // "0" is one node, "0-1" or "0,2" are several.
  std::string online;
  std::ifstream(sysfs + "/devices/system/node/online") >> online;
  if (online.find_first_of(",-") == std::string::npos) return std::nullopt;
  int node = -1;
  std::ifstream(text("{}/bus/pci/devices/{}/numa_node", sysfs, pci_address)) >> node;
  // -1: the firmware did not say (Documentation/ABI/testing/sysfs-bus-pci).
  if (node < 0) return std::nullopt;
  return static_cast<unsigned>(node);
}

void prefer_numa_node(void* address, std::uint64_t bytes, unsigned node) noexcept {
  constexpr std::size_t bits = sizeof(unsigned long) * CHAR_BIT;
  std::array<unsigned long, 1024 / bits> nodes{};  // as many as Linux has at most
  if (node / bits >= nodes.size()) return;
  nodes[node / bits] = 1UL << (node % bits);
  ::syscall(SYS_mbind, address, bytes, MPOL_PREFERRED, nodes.data(), nodes.size() * bits, 0U);
}

}  // namespace lull::detail
