#include <lull/lull.hpp>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "support/rss.hpp"

namespace {

namespace fs = std::filesystem;
using namespace lull::literals;
using lull::contents_action;
using lull::residency;
using lull::status;
using lull::test::error_of;
using testing::HasSubstr;

lull::registry_options small_host() {
  lull::registry_options options;
  options.search = false;
  options.settings = {{"host", "capacity_bytes", "64MiB"}};
  return options;
}

lull::eviction_plan all(contents_action action) {
  return {action, {}};
}

/// Fills a region with bytes that depend on their place and on `seed`.
void write_pattern(const lull::region& region, unsigned seed) {
  const auto lease = region.acquire();
  auto* const bytes = static_cast<unsigned char*>(lease.address());
  for (std::uint64_t i = 0; i < lease.size_bytes(); ++i) {
    bytes[i] = static_cast<unsigned char>(i * 31 + (i >> 12) + seed);
  }
}

bool has_pattern(const lull::region& region, unsigned seed) {
  const auto lease = region.acquire();
  const auto* const bytes = static_cast<const unsigned char*>(lease.address());
  for (std::uint64_t i = 0; i < lease.size_bytes(); ++i) {
    if (bytes[i] != static_cast<unsigned char>(i * 31 + (i >> 12) + seed)) return false;
  }
  return true;
}

class Memory : public testing::Test {
 protected:
  lull::registry registry_{small_host()};
  lull::device host_ = registry_.find("HOST");
  lull::memory memory_{{.chunk_bytes = 256_KiB, .poison_unfilled = false}};

  lull::region make(std::uint64_t bytes, std::string tag, lull::refill_callback refill = {}) {
    std::string name = tag + "." + std::to_string(memory_.regions().size());
    return memory_.allocate(host_, bytes, {std::move(tag), std::move(name), std::move(refill)});
  }

  std::uint64_t used() const { return host_.memory().used_by_process_bytes.value(); }
};

TEST_F(Memory, ARegionHasWhatItWasMadeWith) {
  const auto region = make(1000, "weights");
  EXPECT_EQ(region.size_bytes(), 1000u);
  EXPECT_EQ(region.tag(), "weights");
  EXPECT_EQ(region.name(), "weights.0");
  EXPECT_EQ(region.device(), host_);
  EXPECT_EQ(region.state(), residency::resident);
  EXPECT_EQ(used(), host_.vm_granularity()) << "rounded up to the granularity";
}

TEST_F(Memory, ARegionGivesAllBackWhenItGoes) {
  { const auto region = make(5_MiB, "weights"); }
  EXPECT_EQ(used(), 0u);
  EXPECT_TRUE(memory_.regions().empty());
}

TEST_F(Memory, AllocationBeyondTheCapacityLeavesNothing) {
  const auto failure = error_of([&] { static_cast<void>(make(65_MiB, "weights")); });
  EXPECT_EQ(failure.code(), status::out_of_device_memory);
  EXPECT_THAT(failure.what(), HasSubstr("1 MiB missing"));
  EXPECT_EQ(error_of([&] { static_cast<void>(make(0, "weights")); }).code(),
            status::invalid_argument);
  EXPECT_EQ(used(), 0u);
}

}  // namespace

// Where argument-dependent look-up finds it: in the class's own namespace.
namespace lull {
void PrintTo(const backing_store& store, std::ostream* out) {
  *out << to_string(store.type());
}
}  // namespace lull

namespace {

class MemoryBacking : public Memory, public testing::WithParamInterface<lull::backing_store> {};

TEST_P(MemoryBacking, OffloadedContentsComeBackAtTheSameAddress) {
  // Sizes around pages and chunks.
  std::vector<lull::region> regions;
  for (const std::uint64_t bytes : {1_KiB, 4_KiB, 256_KiB, 256_KiB + 1, 3_MiB - 5, 8_MiB}) {
    regions.push_back(make(bytes, "weights"));
    write_pattern(regions.back(), static_cast<unsigned>(bytes));
  }
  for (int round = 0; round < 2; ++round) {
    const auto evicted = memory_.evict(all(contents_action::offload), {GetParam(), {}, {}});
    EXPECT_EQ(used(), 0u);
    ASSERT_EQ(evicted.devices.size(), 1u);
    EXPECT_GT(evicted.devices[0].freed_bytes().value(), 11 * std::int64_t{1_MiB});
    for (const auto& region : regions) EXPECT_EQ(region.state(), residency::offloaded);

    const auto restored = memory_.restore();
    EXPECT_EQ(restored.devices[0].copied_bytes, evicted.devices[0].copied_bytes);
    for (const auto& region : regions) {
      EXPECT_TRUE(has_pattern(region, static_cast<unsigned>(region.size_bytes()))) << region.name();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, MemoryBacking,
                         testing::Values(lull::backing_store::host_memory(),
                                         lull::backing_store::memfd(),
                                         lull::backing_store::file(fs::temp_directory_path())),
                         [](const auto& instance) {
                           return instance.param.type() == lull::backing_store::kind::host_memory
                                      ? std::string("host_memory")
                                      : std::string(to_string(instance.param.type()));
                         });

TEST_F(Memory, OffloadToAFileLowersTheResidentSet) {
  const auto region = make(32_MiB, "weights");
  write_pattern(region, 1);
  const auto awake = lull::test::resident_bytes();
  memory_.evict(all(contents_action::offload),
                {lull::backing_store::file(fs::temp_directory_path()), {}, {}});
  EXPECT_LE(lull::test::resident_bytes(), awake - 24_MiB);
  memory_.restore();
  EXPECT_TRUE(has_pattern(region, 1));
}

TEST_F(Memory, ANamedFileIsCreatedAndLeavesNoName) {
  const auto region = make(1_MiB, "weights");
  write_pattern(region, 2);
  const fs::path file = fs::temp_directory_path() / ("lull-backing-" + std::to_string(::getpid()));
  memory_.evict(all(contents_action::offload), {lull::backing_store::file(file), {}, {}});
  EXPECT_FALSE(fs::exists(file)) << "nothing stays behind however the process ends";
  memory_.restore();
  EXPECT_TRUE(has_pattern(region, 2));
}

TEST_F(Memory, AnExistingFileIsNeverOverwritten) {
  const auto region = make(1_MiB, "weights");
  write_pattern(region, 3);
  const fs::path file = fs::temp_directory_path() / ("lull-existing-" + std::to_string(::getpid()));
  std::ofstream(file) << "precious";
  const auto failure = error_of([&] {
    memory_.evict(all(contents_action::offload), {lull::backing_store::file(file), {}, {}});
  });
  EXPECT_EQ(failure.code(), status::io);
  EXPECT_THAT(failure.what(), HasSubstr(file.string()));
  EXPECT_EQ(fs::file_size(file), 8u);
  EXPECT_TRUE(has_pattern(region, 3));
  fs::remove(file);
}

TEST_F(Memory, ABackingThatCannotBeObtainedMovesNothing) {
  const auto region = make(1_MiB, "weights");
  write_pattern(region, 4);
  const auto failure = error_of([&] {
    memory_.evict(all(contents_action::offload),
                  {lull::backing_store::file("/nonexistent/directory/file"), {}, {}});
  });
  EXPECT_EQ(failure.code(), status::io);
  EXPECT_TRUE(has_pattern(region, 4));
}

TEST_F(Memory, DiscardedContentsAreRefilled) {
  std::vector<std::byte> source(3_MiB + 7, std::byte{0x42});
  const auto region = make(source.size(), "weights", [&](const lull::refill_target& target) {
    for (std::uint64_t at = 0; at < source.size(); at += 1_MiB) {
      target.write(at, source.data() + at, std::min<std::uint64_t>(1_MiB, source.size() - at));
    }
  });
  const auto report = memory_.evict(all(contents_action::discard));
  EXPECT_EQ(region.state(), residency::discarded);
  EXPECT_EQ(used(), 0u);
  EXPECT_EQ(report.devices[0].discarded_bytes, source.size());
  EXPECT_EQ(report.devices[0].copied_bytes, 0u);

  EXPECT_EQ(memory_.restore().devices[0].refilled_bytes, source.size());
  const auto lease = region.acquire();
  EXPECT_EQ(std::memcmp(lease.address(), source.data(), source.size()), 0);
}

TEST_F(Memory, WhatWasDiscardedAndNeverRefilledCannotBeLeased) {
  auto region = make(1_MiB, "kv");
  memory_.evict(all(contents_action::discard));
  EXPECT_EQ(error_of([&] { static_cast<void>(region.acquire()); }).code(), status::not_resident);
  EXPECT_EQ(error_of([&] { region.refill([](const auto&) {}); }).code(), status::not_resident);
  memory_.restore();
  EXPECT_EQ(region.state(), residency::unfilled);
  const auto failure = error_of([&] { static_cast<void>(region.acquire()); });
  EXPECT_EQ(failure.code(), status::not_resident);
  EXPECT_THAT(failure.what(), HasSubstr("never written again"));

  EXPECT_THROW(region.refill([](const auto&) { throw std::runtime_error("disk"); }),
               std::runtime_error);
  EXPECT_EQ(region.state(), residency::unfilled) << "half-written contents are not valid";
  region.refill([](const lull::refill_target& target) {
    std::memset(target.address(), 9, target.size_bytes());
  });
  EXPECT_EQ(static_cast<char*>(region.acquire().address())[1_MiB - 1], 9);
}

TEST_F(Memory, UnfilledMemoryIsPoisoned) {
  lull::memory memory({.poison_unfilled = true});
  const auto region = memory.allocate(host_, 1_MiB, {"kv", "kv", {}});
  memory.evict(all(contents_action::discard));
  memory.restore();
  const auto* const bytes = static_cast<const std::byte*>(region.address());
  EXPECT_EQ(std::count(bytes, bytes + 1_MiB, lull::poison_byte), std::ptrdiff_t{1_MiB});
}

TEST_F(Memory, UnfilledContentsAreNotWorthACopy) {
  const auto region = make(1_MiB, "kv");
  memory_.evict(all(contents_action::discard));
  memory_.restore();
  memory_.evict(all(contents_action::offload));
  EXPECT_EQ(region.state(), residency::discarded);
}

TEST_F(Memory, APlanSpeaksAboutTags) {
  const auto weights = make(1_MiB, "weights");
  const auto kv = make(1_MiB, "kv");
  const auto scratch = make(1_MiB, "scratch");
  lull::eviction_plan plan;
  plan.by_tag = {{"weights", contents_action::offload}, {"kv", contents_action::discard}};
  memory_.evict(plan);
  EXPECT_EQ(weights.state(), residency::offloaded);
  EXPECT_EQ(kv.state(), residency::discarded);
  EXPECT_EQ(scratch.state(), residency::resident);

  memory_.restore({"weights"});
  EXPECT_EQ(weights.state(), residency::resident);
  EXPECT_EQ(kv.state(), residency::discarded) << "only what was asked for";
  EXPECT_EQ(error_of([&] { memory_.restore({"wieghts"}); }).code(), status::not_found);
}

TEST_F(Memory, AnOffloadedRegionIsNotDiscarded) {
  const auto region = make(1_MiB, "weights");
  write_pattern(region, 5);
  memory_.evict(all(contents_action::offload));
  memory_.evict(all(contents_action::discard));
  memory_.restore();
  EXPECT_TRUE(has_pattern(region, 5));
}

TEST_F(Memory, LeasesKeepMemoryWhereItIs) {
  const auto first = make(1_MiB, "weights");
  const auto second = make(1_MiB, "weights");
  {
    const auto lease = second.acquire();
    const auto failure = error_of([&] { memory_.evict(all(contents_action::discard)); });
    EXPECT_EQ(failure.code(), status::busy);
    EXPECT_THAT(failure.what(), HasSubstr("weights.1"));
    EXPECT_EQ(first.state(), residency::resident) << "all or nothing";
    EXPECT_EQ(memory_.regions()[1].leases, 1u);
  }
  memory_.evict(all(contents_action::discard));
  EXPECT_EQ(second.state(), residency::discarded);
}

TEST_F(Memory, ALeaseKeepsARegionThatIsDestroyed) {
  auto region = std::make_unique<lull::region>(make(1_MiB, "weights"));
  auto lease = region->acquire();
  region.reset();
  std::memset(lease.address(), 1, lease.size_bytes());
  EXPECT_EQ(used(), 1_MiB);
  EXPECT_TRUE(memory_.regions().empty());
  { const auto moved = std::move(lease); }
  EXPECT_EQ(used(), 0u);
}

TEST_F(Memory, ARestoreThatFailsHalfWayLeavesAllOffloadedAndALaterOneSucceeds) {
  std::vector<lull::region> regions;
  for (unsigned i = 0; i < 4; ++i) {
    regions.push_back(make(12_MiB, "weights"));
    write_pattern(regions[i], i);
  }
  memory_.evict(all(contents_action::offload));
  {
    // Room for two of the four.
    const auto intruder = make(40_MiB, "other");
    const auto failure = error_of([&] { memory_.restore(); });
    EXPECT_EQ(failure.code(), status::out_of_device_memory);
    EXPECT_THAT(failure.what(), HasSubstr("restoring needs 48 MiB on HOST, 24 MiB are free: 24 MiB "
                                          "missing"));
    EXPECT_EQ(used(), 40_MiB) << "what was obtained is given back";
    for (const auto& region : regions) EXPECT_EQ(region.state(), residency::offloaded);
  }
  memory_.restore();
  for (unsigned i = 0; i < 4; ++i) EXPECT_TRUE(has_pattern(regions[i], i));
}

TEST_F(Memory, ARefillThatFailsLeavesAllAsItWas) {
  bool broken = true;
  const auto offloaded = make(1_MiB, "kept");
  write_pattern(offloaded, 6);
  const auto refilled = make(1_MiB, "weights", [&](const lull::refill_target& target) {
    if (broken) throw std::runtime_error("the file is gone");
    std::memset(target.address(), 1, target.size_bytes());
  });
  memory_.evict({contents_action::discard, {{"kept", contents_action::offload}}});
  const auto failure = error_of([&] { memory_.restore(); });
  EXPECT_EQ(failure.code(), status::callback);
  EXPECT_THAT(failure.what(), HasSubstr("weights.1"));
  EXPECT_THAT(failure.what(), HasSubstr("the file is gone"));
  EXPECT_EQ(offloaded.state(), residency::offloaded);
  EXPECT_EQ(refilled.state(), residency::discarded);
  EXPECT_EQ(used(), 0u);

  broken = false;
  memory_.restore();
  EXPECT_TRUE(has_pattern(offloaded, 6));
}

TEST_F(Memory, ProgressCoversAllBytesInChunks) {
  const auto large = make(1_MiB + 1, "weights");
  const auto small = make(10, "weights");
  std::vector<std::uint64_t> done;
  std::uint64_t total = 0;
  memory_.evict(all(contents_action::offload), {lull::backing_store::host_memory(),
                                                [&](const lull::transfer_progress& progress) {
                                                  done.push_back(progress.done_bytes);
                                                  total = progress.total_bytes;
                                                },
                                                {}});
  EXPECT_EQ(total, 1_MiB + 11);
  EXPECT_THAT(done, testing::ElementsAre(256_KiB, 512_KiB, 768_KiB, 1_MiB, 1_MiB + 1, 1_MiB + 11));
}

TEST_F(Memory, ACancelledTransferIsRolledBack) {
  const auto region = make(1_MiB, "weights");
  write_pattern(region, 7);
  for (const bool restoring : {false, true}) {
    std::stop_source stop;
    const lull::transfer_options options{lull::backing_store::host_memory(),
                                         [&](const lull::transfer_progress& progress) {
                                           if (progress.done_bytes >= 512_KiB) stop.request_stop();
                                         },
                                         stop.get_token()};
    const auto before = region.state();
    const auto failure = error_of([&] {
      restoring ? memory_.restore({}, options)
                : memory_.evict(all(contents_action::offload), options);
    });
    EXPECT_EQ(failure.code(), status::cancelled);
    EXPECT_EQ(region.state(), before);
    if (!restoring) memory_.evict(all(contents_action::offload));
  }
  memory_.restore();
  EXPECT_TRUE(has_pattern(region, 7));
}

TEST_F(Memory, AThrowingProgressCallbackIsRolledBack) {
  const auto region = make(1_MiB, "weights");
  write_pattern(region, 8);
  const auto failure = error_of([&] {
    memory_.evict(all(contents_action::offload),
                  {lull::backing_store::host_memory(),
                   [](const auto&) { throw std::runtime_error("enough"); },
                   {}});
  });
  EXPECT_EQ(failure.code(), status::callback);
  EXPECT_TRUE(has_pattern(region, 8));
}

TEST_F(Memory, OneTransferCannotStartAnother) {
  lull::status seen = status::ok;
  const auto region = make(1_MiB, "weights", [&](const lull::refill_target&) {
    seen = error_of([&] { memory_.restore(); }).code();
  });
  memory_.evict(all(contents_action::discard));
  memory_.restore();
  EXPECT_EQ(seen, status::busy);
}

TEST_F(Memory, ARegionCanBeDestroyedWhileItMoves) {
  auto region = std::make_unique<lull::region>(make(1_MiB, "weights"));
  memory_.evict(all(contents_action::offload),
                {lull::backing_store::host_memory(), [&](const auto&) { region.reset(); }, {}});
  EXPECT_EQ(used(), 0u);
  EXPECT_TRUE(memory_.regions().empty());
}

TEST_F(Memory, LookingNeverWaitsForATransfer) {
  const auto region = make(1_MiB, "weights");
  bool looked = false;
  memory_.evict(all(contents_action::offload),
                {lull::backing_store::host_memory(),
                 [&](const auto&) {
                   // On another thread, as an observer is: it would hang if it needed the transfer.
                   std::thread([&] {
                     looked = memory_.regions()[0].moving;
                     EXPECT_EQ(error_of([&] { static_cast<void>(region.acquire()); }).code(),
                               status::busy);
                   }).join();
                 },
                 {}});
  EXPECT_TRUE(looked);
}

TEST_F(Memory, RegionsOutliveTheMemoryObject) {
  auto memory = std::make_unique<lull::memory>();
  const auto region = memory->allocate(host_, 1_MiB);
  memory.reset();
  write_pattern(region, 9);
  EXPECT_TRUE(has_pattern(region, 9));
}

TEST_F(Memory, WritesOutsideTheRegionAreRefused) {
  auto region = make(100, "weights");
  const char data[8] = {};
  region.refill([&](const lull::refill_target& target) {
    target.write(92, data, 8);
    EXPECT_EQ(error_of([&] { target.write(93, data, 8); }).code(), status::invalid_argument);
    EXPECT_EQ(error_of([&] { target.write(UINT64_MAX, data, 8); }).code(),
              status::invalid_argument);
  });
}

TEST_F(Memory, OptionsOutOfRangeAreRefused) {
  EXPECT_EQ(error_of([] { lull::memory({.chunk_bytes = 0}); }).code(), status::invalid_argument);
  EXPECT_EQ(error_of([] { lull::memory({.clock = nullptr}); }).code(), status::invalid_argument);
}

}  // namespace
