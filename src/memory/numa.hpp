#ifndef LULL_MEMORY_NUMA_HPP
#define LULL_MEMORY_NUMA_HPP

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lull::detail {

/// The node of memory that a device is attached to, as the kernel tells it; none where it does not,
/// or where there is one node only.
/// @param pci_address as lull::device tells it; may be empty
/// @param sysfs tests put their own in place
[[nodiscard]] std::optional<unsigned> numa_node_of(std::string_view pci_address,
                                                   const std::string& sysfs = "/sys");

/// Asks that pages of a stretch come from a node as long as it has some. Before they are populated;
/// best effort, as kernels without nodes refuse it.
void prefer_numa_node(void* address, std::uint64_t bytes, unsigned node) noexcept;

}  // namespace lull::detail

#endif  // LULL_MEMORY_NUMA_HPP
