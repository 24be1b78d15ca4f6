#include "memory/numa.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "memory/pages.hpp"
#include "support/scratch_folder.hpp"

namespace {

using lull::detail::numa_node_of;

/// The kernel's files of a machine with one GPU.
class machine {
 public:
  machine(const std::string& nodes_online, const std::string& node_of_gpu) {
    write("devices/system/node/online", nodes_online);
    write("bus/pci/devices/0000:c1:00.0/numa_node", node_of_gpu);
  }
  [[nodiscard]] std::string sysfs() const { return folder_.path(); }

 private:
  void write(const std::string& name, const std::string& text) const {
    const auto path = folder_.path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << '\n';
  }
  lull::test::scratch_folder folder_;
};

TEST(Numa, TheKernelTellsTheNodeOfADevice) {
  EXPECT_EQ(numa_node_of("0000:c1:00.0", machine("0-1", "1").sysfs()), 1U);
  EXPECT_EQ(numa_node_of("0000:c1:00.0", machine("0,2", "0").sysfs()), 0U);
}

TEST(Numa, WhereItDoesNotOrThereIsOneNodeNothingIsPreferred) {
  EXPECT_EQ(numa_node_of("0000:c1:00.0", machine("0", "0").sysfs()), std::nullopt);
  EXPECT_EQ(numa_node_of("0000:c1:00.0", machine("0-1", "-1").sysfs()), std::nullopt);
  EXPECT_EQ(numa_node_of("0000:c2:00.0", machine("0-1", "1").sysfs()), std::nullopt);
  EXPECT_EQ(numa_node_of("", machine("0-1", "1").sysfs()), std::nullopt);
  EXPECT_EQ(numa_node_of("0000:c1:00.0", "/nowhere"), std::nullopt);
}

// Whether the machine has such a node or not: pages come from somewhere.
TEST(Numa, PreferringANodeNeverStandsInTheWay) {
  for (const unsigned node : {0U, 1U, 1023U, 1024U, 4000000000U}) {
    lull::detail::pages some(lull::detail::huge_page_bytes);
    lull::detail::prefer_numa_node(some.address(), some.size_bytes(), node);
    some.populate();
    some.address()[0] = std::byte{1};
  }
}

}  // namespace
