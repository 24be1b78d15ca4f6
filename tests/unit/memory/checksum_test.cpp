// Contents that are not what they were when they left are not taken for them.

#include "memory/checksum.hpp"

#include <lull/lull.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "support/fault_backend.hpp"
#include "support/scratch_folder.hpp"

namespace lull::test {
namespace {

using namespace lull::literals;
using detail::checksum_of;

std::vector<std::byte> some_bytes(std::uint64_t size) {
  std::vector<std::byte> bytes(size);
  for (std::uint64_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + (i >> 8));
  return bytes;
}

TEST(Checksum, IsTheSameHoweverContentsAreDivided) {
  const auto bytes = some_bytes(1000);
  const std::uint64_t whole = checksum_of(0, bytes.data(), bytes.size());
  for (std::uint64_t cut = 0; cut < bytes.size(); cut += 16) {
    EXPECT_EQ(checksum_of(cut, bytes.data() + cut, bytes.size() - cut) +
                  checksum_of(0, bytes.data(), cut),
              whole);
  }
}

TEST(Checksum, SeesEveryBit) {
  auto bytes = some_bytes(129);
  const std::uint64_t before = checksum_of(0, bytes.data(), bytes.size());
  for (std::uint64_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_NE(checksum_of(0, bytes.data(), bytes.size()), before) << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
}

TEST(Checksum, SeesWhatChangedPlaces) {
  auto bytes = some_bytes(64);
  const std::uint64_t before = checksum_of(0, bytes.data(), bytes.size());
  for (const std::uint64_t size : {8u, 16u, 32u}) {
    std::swap_ranges(bytes.begin(), bytes.begin() + size, bytes.begin() + size);
    EXPECT_NE(checksum_of(0, bytes.data(), bytes.size()), before) << size;
    std::swap_ranges(bytes.begin(), bytes.begin() + size, bytes.begin() + size);
  }
}

struct place {
  std::string name;
  bool host_accessible;
  bool memfd;
};

class Backing : public testing::TestWithParam<place> {
 protected:
  Backing() {
    fail_operation(0);
    set_fault_device({GetParam().host_accessible});
    registry_options built_in_only;
    built_in_only.search = false;
    registry_.emplace(built_in_only);
    EXPECT_EQ(registry_->add(fault_ops()).state, module_state::active);
  }

  region make(const std::string& name, bool checksum) {
    auto made = memory_.allocate(registry_->find("FAULT0"), 9_MiB + 5,
                                 {.name = name, .checksum = checksum});
    made.refill([](const refill_target& to) {
      const auto bytes = some_bytes(to.size_bytes());
      to.write(0, bytes.data(), bytes.size());
    });
    return made;
  }

  void evict() {
    memory_.evict({contents_action::offload, {}},
                  {.backing = GetParam().memfd ? backing_store::memfd()
                                               : backing_store::file(folder_.path())});
  }

  /// Changes a byte of the backing, which has no name any more.
  void change_a_byte(std::uint64_t offset) const {
    int changed = 0;
    for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      const std::string to = std::filesystem::read_symlink(each, gone).string();
      const bool ours = GetParam().memfd ? to.starts_with("/memfd:lull")
                                         : to.starts_with(folder_.path().string());
      if (gone || !ours) continue;
      const int descriptor = std::stoi(each.path().filename().string());
      char byte = 0;
      ASSERT_EQ(::pread(descriptor, &byte, 1, static_cast<off_t>(offset)), 1);
      byte ^= 4;
      ASSERT_EQ(::pwrite(descriptor, &byte, 1, static_cast<off_t>(offset)), 1);
      ++changed;
    }
    ASSERT_EQ(changed, 1);
  }

  static bool is_whole(const region& which) {
    const auto lease = which.acquire();
    const auto bytes = some_bytes(lease.size_bytes());
    return std::memcmp(lease.address(), bytes.data(), bytes.size()) == 0;
  }

  scratch_folder folder_;
  std::optional<registry> registry_;
  memory memory_{{.chunk_bytes = 1_MiB + 4}};
};

TEST_P(Backing, ThatChangedIsNotedAndTheRegionNamed) {
  const region region = make("blk.0.attn_q.weight", true);
  evict();
  change_a_byte(5_MiB + 3);
  const error failure = error_of([&] { memory_.restore(); });
  EXPECT_EQ(failure.code(), status::io);
  EXPECT_THAT(failure.what(), testing::HasSubstr("region 'blk.0.attn_q.weight' on FAULT0: what "
                                                 "came back is not what was offloaded"));
  EXPECT_EQ(region.state(), residency::offloaded) << "and nothing has changed";
  change_a_byte(5_MiB + 3);
  memory_.restore();
  EXPECT_TRUE(is_whole(region));
}

TEST_P(Backing, ThatDidNotChangeComesBackAgainAndAgain) {
  const region region = make("w", true);
  for (int i = 0; i < 3; ++i) {
    evict();
    memory_.restore();
    EXPECT_TRUE(is_whole(region));
  }
}

TEST_P(Backing, ThatNobodyAskedAboutIsNotLookedAt) {
  const region region = make("w", false);
  evict();
  change_a_byte(0);
  memory_.restore();
  EXPECT_FALSE(is_whole(region));
}

INSTANTIATE_TEST_SUITE_P(Places, Backing,
                         testing::Values(place{"direct_memfd", true, true},
                                         place{"direct_file", true, false},
                                         place{"staged_memfd", false, true},
                                         place{"staged_file", false, false}),
                         [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace lull::test
