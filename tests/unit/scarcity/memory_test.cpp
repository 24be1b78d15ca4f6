// Whatever regions and their transfers need of the system fails once: a transfer has happened as a
// whole or not at all, nothing is lost or left behind, and afterwards everything works.

#include <lull/lull.hpp>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fault_backend.hpp"
#include "support/scarcity.hpp"
#include "support/scratch_folder.hpp"

namespace lull::test {
namespace {

using namespace lull::literals;

/// Little more than what shares memory with others: each attempt touches every page.
constexpr std::uint64_t weights_bytes = 1_MiB + 4_KiB;

/// On a device whose memory the CPU does not reach, so that streams, pinning and staging are used.
class MemoryScarcity : public testing::TestWithParam<resource> {
 protected:
  MemoryScarcity() {
    fail_operation(0);
    set_fault_device({.host_accessible = false});
    EXPECT_EQ(registry_.add(fault_ops()).state, module_state::active);
    device_ = registry_.find("FAULT0");
    other_ = registry_.find("HOST");
    memory_.emplace(memory_options{.chunk_bytes = 4_MiB, .threads = 3});
    for (int i = 0; i < 2; ++i) make("weights", weights_bytes);
    for (int i = 0; i < 3; ++i) make("small", 4_KiB);  // these share memory
  }

  static registry_options built_in_only() {
    registry_options options;
    options.search = false;
    return options;
  }

  void make(std::string tag, std::uint64_t size) {
    regions_.push_back(memory_->allocate(*device_, size, {.tag = std::move(tag)}));
    fill(regions_.back(), static_cast<int>(regions_.size()));
  }

  static void fill(region& which, int value) {
    which.refill([value](const refill_target& to) {
      const std::vector<char> bytes(to.size_bytes(), static_cast<char>(value));
      to.write(0, bytes.data(), bytes.size());
    });
  }

  [[nodiscard]] std::uint64_t used() const {
    return device_->memory().used_by_process_bytes.value();
  }

  [[nodiscard]] bool all_are(residency state) const {
    for (const region_info& each : memory_->regions()) {
      if (each.state != state || each.moving) return false;
    }
    return true;
  }

  void expect_contents() const {
    ASSERT_TRUE(all_are(residency::resident));
    for (std::size_t i = 0; i < regions_.size(); ++i) {
      const auto lease = regions_[i].acquire();
      const auto* const bytes = static_cast<const char*>(lease.address());
      EXPECT_EQ(bytes[0], static_cast<char>(i + 1));
      EXPECT_EQ(std::memcmp(bytes, bytes + 1, lease.size_bytes() - 1), 0);
    }
  }

  /// Away and back, with each resource of either failing; all or nothing each time.
  void there_and_back(const transfer_options& how) {
    const eviction_plan plan{contents_action::offload, {}};
    fail_each(
        GetParam(), [&] { memory_->evict(plan, how); },
        [&](bool evict_failed) {
          EXPECT_TRUE(all_are(evict_failed ? residency::resident : residency::offloaded));
          memory_->restore();
          expect_contents();
        });
    memory_->evict(plan, how);
    fail_each(
        GetParam(), [&] { memory_->restore(); },
        [&](bool restore_failed) {
          EXPECT_TRUE(all_are(restore_failed ? residency::offloaded : residency::resident));
          memory_->restore();
          expect_contents();
          memory_->evict(plan, how);
        });
    memory_->restore();
  }

  lull::registry registry_{built_in_only()};
  std::optional<device> device_;
  std::optional<device> other_;
  std::optional<memory> memory_;
  std::vector<region> regions_;
};

TEST_P(MemoryScarcity, OfATransferThroughHostMemory) {
  there_and_back({});
}

TEST_P(MemoryScarcity, OfATransferByTwoThreads) {
  if (GetParam() == resource::descriptor) GTEST_SKIP() << "it needs none";
  make("large", 33_MiB);
  there_and_back({});
}

TEST_P(MemoryScarcity, OfATransferThroughAMemoryFile) {
  there_and_back({.backing = backing_store::memfd()});
}

TEST_P(MemoryScarcity, OfATransferThroughAFile) {
  const scratch_folder folder;
  there_and_back({.backing = backing_store::file(folder.path())});
}

TEST_P(MemoryScarcity, OfARegion) {
  const std::uint64_t used_before = used();
  const auto check = [&](bool) {
    EXPECT_EQ(memory_->regions().size(), regions_.size());
    memory_->restore();  // what could not be given back at once is given back now
    EXPECT_EQ(memory_->leftover_bytes(), 0u);
    EXPECT_EQ(used(), used_before);
    expect_contents();
  };
  fail_each(
      GetParam(), [&] { static_cast<void>(memory_->allocate(*device_, 4_MiB)); }, check);
  fail_each(
      GetParam(),
      [&] {
        // In the middle of others that stay, so that their places are put together again.
        auto first = memory_->allocate(*device_, 1_KiB, {.tag = "small"});
        const auto second = memory_->allocate(*device_, 1_KiB, {.tag = "small"});
        first = memory_->allocate(*device_, 1_KiB, {.tag = "other"});
      },
      check);
}

TEST_P(MemoryScarcity, OfADiscardAndARefill) {
  const eviction_plan plan{contents_action::discard, {}};
  for (std::size_t i = 0; i < regions_.size(); ++i) {
    regions_[i].set_refill([value = i + 1](const refill_target& to) {
      const std::vector<char> bytes(to.size_bytes(), static_cast<char>(value));
      to.write(0, bytes.data(), bytes.size());
    });
  }
  fail_each(
      GetParam(), [&] { memory_->evict(plan); },
      [&](bool evict_failed) {
        EXPECT_TRUE(all_are(evict_failed ? residency::resident : residency::discarded));
        memory_->restore();
        expect_contents();
      });
  memory_->evict(plan);
  fail_each(
      GetParam(), [&] { memory_->restore(); },
      [&](bool restore_failed) {
        EXPECT_TRUE(all_are(restore_failed ? residency::discarded : residency::resident));
        memory_->restore();
        expect_contents();
        memory_->evict(plan);
      });
}

TEST_P(MemoryScarcity, OfASwap) {
  const eviction_plan weights_leave{contents_action::keep, {{"weights", contents_action::offload}}};
  const eviction_plan small_leave{contents_action::keep, {{"small", contents_action::offload}}};
  memory_->evict(small_leave);
  const auto states = [&] {
    std::string all;
    for (const region_info& each : memory_->regions()) all += to_string(each.state).front();
    return all;
  };
  EXPECT_EQ(states(), "rrooo");
  fail_each(
      GetParam(), [&] { memory_->swap(weights_leave, {"small"}); },
      [&](bool swap_failed) {
        EXPECT_EQ(states(), swap_failed ? "rrooo" : "oorrr");
        memory_->restore();
        expect_contents();
        memory_->evict(small_leave);
      });
}

TEST_P(MemoryScarcity, OfASource) {
  const scratch_folder folder;
  const auto path = folder.path() / "weights";
  std::ofstream(path) << std::string(weights_bytes, 'w');
  std::vector<region> filled;
  fail_each(
      GetParam(),
      [&] {
        filled.push_back(
            memory_->allocate(*device_, weights_bytes,
                              {.tag = "source", .source = region_source{file_source(path), {}}}));
        memory_->evict({contents_action::keep, {{"source", contents_action::discard}}});
        memory_->restore({"source"});
      },
      [&](bool) {
        memory_->restore();
        for (const region& each : filled) {
          const auto lease = each.acquire();
          EXPECT_EQ(static_cast<const char*>(lease.address())[weights_bytes - 1], 'w');
        }
        filled.clear();
      });
}

TEST_P(MemoryScarcity, OfAnArenaThatIsPrepared) {
  fail_each(
      GetParam(),
      [&] {
        const host_arena arena(host_arena_options{.budget_bytes = 16_MiB, .slice_bytes = 2_MiB});
        arena.prepare(*device_, 8_MiB, {.threads = 3});
        arena.wait_prepared();
      },
      [&](bool) {
        const host_arena arena(host_arena_options{.budget_bytes = 16_MiB, .slice_bytes = 2_MiB});
        arena.prepare(*device_, 8_MiB, {.threads = 3});
        arena.wait_prepared();
        EXPECT_EQ(arena.info().pinned_bytes, 8_MiB);
      });
}

INSTANTIATE_TEST_SUITE_P(Each, MemoryScarcity,
                         testing::Values(resource::allocation, resource::thread,
                                         resource::descriptor),
                         name_of);

}  // namespace
}  // namespace lull::test
