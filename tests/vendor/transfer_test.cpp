// Transfers between a simulated GPU and pinned, pageable and file memory: every byte at its place,
// however it went; and what is held on the way.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "support/expect_error.hpp"
#include "vendor/transfer_fixture.hpp"

namespace lull::test {
namespace {

TEST_P(Transfer, EveryByteComesBackThroughPinnedMemory) {
  machine here(GetParam());
  const host_arena arena = arena_of();
  memory all(in_small_steps(arena));
  const auto regions = make_regions(all, here.device());
  for (int round = 0; round < 3; ++round) {
    const auto out = all.evict(offload());
    EXPECT_EQ(out.devices.at(0).staged_bytes, 0u) << out.devices.at(0).staged_because;
    EXPECT_GE(arena.info().used_bytes, 19_MiB);
    const auto in = all.restore();
    EXPECT_EQ(in.devices.at(0).staged_bytes, 0u);
    EXPECT_EQ(in.devices.at(0).copied_bytes, out.devices.at(0).copied_bytes);
    EXPECT_EQ(arena.info().used_bytes, 0u);
    expect_contents(regions);
  }
  EXPECT_GT(arena.info().pinned_bytes, 0u) << "kept for the next time";
  arena.trim();
  EXPECT_EQ(arena.info().held_bytes, 0u);
  EXPECT_EQ(here.gpu().take_stock().registrations, 0);
}

TEST_P(Transfer, EveryByteComesBackThroughFiles) {
  machine here(GetParam());
  memory all(in_small_steps(arena_of()));
  const auto regions = make_regions(all, here.device());
  for (const auto& store :
       {backing_store::memfd(), backing_store::file(std::filesystem::temp_directory_path())}) {
    transfer_options options;
    options.backing = store;
    const auto out = all.evict(offload(), options);
    EXPECT_EQ(out.devices.at(0).staged_bytes, out.devices.at(0).copied_bytes);
    EXPECT_EQ(out.devices.at(0).staged_because, "");
    all.restore();
    expect_contents(regions);
  }
}

TEST_P(Transfer, WhatTheBudgetHasNoRoomForIsStaged) {
  machine here(GetParam());
  const host_arena arena = arena_of(8_MiB);
  memory all(in_small_steps(arena));
  const auto regions = make_regions(all, here.device());
  const auto out = all.evict(offload());
  EXPECT_LE(arena.info().held_bytes, 8_MiB);
  EXPECT_GT(out.devices.at(0).copied_bytes, 8_MiB);
  EXPECT_THAT(out.devices.at(0).staged_because,
              testing::HasSubstr("budget of 8 MiB has no room for"));
  all.restore();
  EXPECT_LE(arena.info().held_bytes, 8_MiB);
  expect_contents(regions);
}

TEST_P(Transfer, ARefusedRegistrationIsToldAndNothingIsLost) {
  machine here(GetParam());
  const host_arena arena = arena_of();
  memory all(in_small_steps(arena));
  const auto regions = make_regions(all, here.device());
  const std::string call = GetParam().name + "HostRegister";
  here.gpu().script.fail(call, 0, 801);  // "not supported", of every vendor
  const auto out = all.evict(offload());
  EXPECT_THAT(arena.info().not_pinned_because, testing::HasSubstr(call));
  EXPECT_THAT(out.devices.at(0).staged_because, testing::HasSubstr(call));
  EXPECT_EQ(here.gpu().take_stock().registrations, 0);
  all.restore();
  expect_contents(regions);

  here.gpu().script.clear();
  here.gpu().script.fail(call, 3, 801);
  arena.trim();
  all.evict(offload());
  all.restore();
  expect_contents(regions);
}

TEST_P(Transfer, AResetEndsRegistrationsAndTheyAreMadeAgainOnTheWay) {
  machine here(GetParam());
  const device which = here.device();
  const host_arena arena = arena_of();
  memory all(in_small_steps(arena));
  const auto regions = make_regions(all, which);
  all.evict(offload());
  const auto held = arena.info().held_bytes;
  EXPECT_TRUE(dev_reset(which).was_reset);
  EXPECT_EQ(arena.info().pinned_bytes, 0u);
  EXPECT_EQ(arena.info().held_bytes, held);
  const auto in = all.restore();
  EXPECT_EQ(in.devices.at(0).staged_bytes, 0u) << in.devices.at(0).staged_because;
  EXPECT_GT(arena.info().pinned_bytes, 0u);
  expect_contents(regions);
}

TEST_P(Transfer, SeveralDevicesShareOneArena) {
  machine here(GetParam());
  const host_arena arena = arena_of();
  memory all(in_small_steps(arena));
  const auto first = make_regions(all, here.device(0));
  const auto second = make_regions(all, here.device(1));
  for (int round = 0; round < 2; ++round) {
    const auto out = all.evict(offload());
    ASSERT_EQ(out.devices.size(), 2u);
    EXPECT_EQ(out.devices[0].copied_bytes, out.devices[1].copied_bytes);
    all.restore();
    expect_contents(first);
    expect_contents(second);
  }
}

TEST_P(Transfer, TwoMemoriesStayWithinOneBudget) {
  machine here(GetParam());
  const host_arena arena = arena_of(24_MiB);
  memory one(in_small_steps(arena));
  memory other(in_small_steps(arena));
  const auto first = make_regions(one, here.device(0));
  const auto second = make_regions(other, here.device(1));
  std::atomic<bool> done = false;
  std::uint64_t most = 0;
  std::thread watching([&] {
    while (!done) most = std::max(most, arena.info().held_bytes);
  });
  std::thread beside([&] {
    for (int i = 0; i < 5; ++i) {
      other.evict(offload());
      other.restore();
    }
  });
  for (int i = 0; i < 5; ++i) {
    one.evict(offload());
    one.restore();
  }
  beside.join();
  done = true;
  watching.join();
  EXPECT_LE(most, 24_MiB);
  EXPECT_EQ(arena.info().used_bytes, 0u);
  expect_contents(first);
  expect_contents(second);
}

TEST_P(Transfer, PreparedMemoryIsPinnedBeforeTheFirstSleep) {
  machine here(GetParam());
  const host_arena arena = arena_of(16_MiB);
  arena.prepare(here.device(), 12_MiB, {.threads = 2});
  arena.wait_prepared();
  EXPECT_EQ(arena.info().pinned_bytes, 12_MiB);
  EXPECT_FALSE(arena.info().preparing);
  const auto calls = here.gpu().script.calls(GetParam().name + "HostRegister");

  memory all(in_small_steps(arena));
  const region weights = all.allocate(here.device(), 12_MiB);
  fill(weights, 1);
  all.evict(offload());
  EXPECT_EQ(here.gpu().script.calls(GetParam().name + "HostRegister"), calls);
  all.restore();
  EXPECT_TRUE(holds(weights, 1));

  arena.prepare(here.device(), 64_MiB);
  arena.wait_prepared();
  EXPECT_EQ(arena.info().pinned_bytes, 16_MiB) << "the budget ends it";
  EXPECT_EQ(arena.trim(4_MiB), 12_MiB);
  EXPECT_EQ(arena.info().held_bytes, 4_MiB);
  arena.set_budget(0);
  EXPECT_EQ(arena.info().held_bytes, 0u);
}

TEST_P(Transfer, CallbacksOfSeveralRegionsRunAtOnceUnlessTheyAreToBeAlone) {
  for (const bool alone : {false, true}) {
    machine here(GetParam());
    memory all(in_small_steps(arena_of()));
    std::atomic<int> inside = 0;
    std::atomic<int> most = 0;
    std::vector<region> regions;
    for (unsigned i = 0; i < 3; ++i) {
      region_options options;
      options.refill_alone = alone;
      options.refill = [&, i](const refill_target& target) {
        const int now = ++inside;
        most = std::max(most.load(), now);
        // A source that is gone as soon as it was written.
        auto bytes = std::make_unique<std::vector<std::byte>>(pattern(target.size_bytes(), i + 1));
        for (std::uint64_t at = 0; at < bytes->size(); at += 700_KiB) {
          target.write(at, bytes->data() + at, std::min(700_KiB, bytes->size() - at));
        }
        std::memset(bytes->data(), 0, bytes->size());
        --inside;
      };
      regions.push_back(all.allocate(here.device(), 17_MiB, std::move(options)));
    }
    all.evict({.otherwise = contents_action::discard});
    all.restore();
    expect_contents(regions);
    if (alone) {
      EXPECT_EQ(most, 1);
    }
  }
}

TEST_P(Transfer, ARegionIsNotUnmappedWhileTheDeviceWorksOnIt) {
  machine here(GetParam());
  memory all(in_small_steps(arena_of()));
  void* graph = nullptr;
  ASSERT_EQ(here.gpu().graph_create(0, 1_MiB, &graph), simgpu::code::ok);
  {
    const region weights = all.allocate(here.device(), 4_MiB);
    ASSERT_EQ(here.gpu().graph_launch(graph), simgpu::code::ok);
  }
  EXPECT_EQ(here.gpu().take_stock().mappings, 0);
  EXPECT_EQ(all.leftover_bytes(), 0u);
}

TEST_P(Transfer, SmallRegionsShareMemory) {
  machine here(GetParam());
  const device which = here.device();
  which.context_create();
  const auto before = here.gpu().take_stock();
  memory all(in_small_steps(arena_of()));
  std::vector<region> norms;
  for (unsigned i = 0; i < 4500; ++i) {
    norms.push_back(all.allocate(which, 16, {.tag = "weights", .name = std::to_string(i)}));
  }
  const region other = all.allocate(which, 16, {.tag = "kv"});
  const auto taken = here.gpu().take_stock();
  EXPECT_LE(taken.used_bytes - before.used_bytes, 8_MiB);
  EXPECT_EQ(all.regions().front().device_bytes, 512u);
  for (unsigned i = 0; i < norms.size(); i += 100) fill(norms[i], i);
  all.evict({.by_tag = {{"weights", contents_action::offload}}});
  EXPECT_EQ(here.gpu().take_stock().used_bytes - before.used_bytes, 2_MiB) << "the other tag's";
  EXPECT_EQ(other.state(), residency::resident);
  all.restore();
  for (unsigned i = 0; i < norms.size(); i += 100) EXPECT_TRUE(holds(norms[i], i)) << i;
  norms.clear();
  EXPECT_EQ(here.gpu().take_stock().physical, 1);
}

TEST_P(Transfer, AnAllocationThatFailsSaysWhatIsMissing) {
  machine here(GetParam(), {.total_bytes = 512_MiB});
  here.device().context_create();
  memory all(in_small_steps(arena_of()));
  const auto failure =
      error_of([&] { static_cast<void>(all.allocate(here.device(), 601_MiB, {.name = "wq"})); });
  EXPECT_EQ(failure.code(), status::out_of_device_memory);
  EXPECT_THAT(failure.what(), testing::HasSubstr("region 'wq' on"));
  EXPECT_THAT(failure.what(), testing::HasSubstr("601 MiB asked for, 602 MiB to be taken"));
  EXPECT_THAT(failure.what(), testing::HasSubstr("212 MiB free: 390 MiB missing"));
}

std::string unmap_call(const vendor_case& vendor) {
  const std::string prefix = vendor.memory_call.substr(0, 2);
  return prefix == "cu" ? "cuMemUnmap" : prefix == "mu" ? "muMemUnmap" : "hipMemUnmap";
}

// A destructor cannot say that it failed; what is left is told, and goes at the next occasion.
class Leftover : public Transfer {
 protected:
  Leftover() : here_(GetParam()) {
    here_.device().context_create();
    all_.emplace(in_small_steps(arena_of()));
    before_ = here_.gpu().take_stock();
    const region goes = all_->allocate(here_.device(), 4_MiB);
    here_.gpu().script.fail(unmap_call(GetParam()), 1, injected_code);
  }
  void expect_left() const { EXPECT_EQ(all_->leftover_bytes(), 4_MiB); }
  void expect_gone() const {
    if (all_) {
      EXPECT_EQ(all_->leftover_bytes(), 0u);
    }
    EXPECT_EQ(here_.gpu().take_stock(), before_);
  }

  machine here_;
  std::optional<memory> all_;
  simgpu::books before_;
};

TEST_P(Leftover, GoesWithTheNextTransfer) {
  expect_left();
  const region stays = all_->allocate(here_.device(), 2_MiB);
  before_ = here_.gpu().take_stock();
  all_->evict({.otherwise = contents_action::keep});
  EXPECT_EQ(all_->leftover_bytes(), 0u);
}

TEST_P(Leftover, IsNotInTheWayOfAReset) {
  expect_left();
  EXPECT_TRUE(dev_reset(here_.device()).was_reset);
  EXPECT_EQ(all_->leftover_bytes(), 0u);
  here_.device().context_create();
  expect_gone();
}

TEST_P(Leftover, StaysWhileItCannotGoAndIsTriedAgain) {
  here_.gpu().script.fail(unmap_call(GetParam()), 1, injected_code);
  EXPECT_EQ(error_of([&] { dev_reset(here_.device()); }).code(), status::busy);
  expect_left();
  EXPECT_TRUE(dev_reset(here_.device()).was_reset);
  EXPECT_EQ(all_->leftover_bytes(), 0u);
}

TEST_P(Leftover, GoesWithTheMemoryObject) {
  all_.reset();
  expect_gone();
}

INSTANTIATE_TEST_SUITE_P(Modules, Leftover, testing::ValuesIn(vendor_cases()), case_name);

TEST_P(Transfer, ARegionAllocatedDuringAResetIsEitherThereOrNot) {
  machine here(GetParam());
  const device which = here.device();
  memory all(in_small_steps(arena_of()));
  std::atomic<bool> done = false;
  std::thread allocating([&] {
    while (!done) {
      try {
        const region one = all.allocate(which, 2_MiB);
        if (one.state() != residency::resident) continue;
        const auto lease = one.acquire();
        std::byte value{};
        which.copy_to_host(&value, lease.address(), 1);
      } catch (const error& failure) {
        EXPECT_TRUE(failure.code() == status::stale || failure.code() == status::not_resident ||
                    failure.code() == status::busy)
            << failure.what();
      }
    }
  });
  for (int i = 0; i < 100; ++i) {
    try {
      // What is freed is taken again at once: nobody would see it come back.
      dev_reset(which, {.drop = true, .settle_timeout = {}});
    } catch (const error& failure) {
      EXPECT_EQ(failure.code(), status::busy) << failure.what();
    }
  }
  done = true;
  allocating.join();
  const auto left = here.gpu().take_stock();
  EXPECT_EQ(left.reservations, 0);
  EXPECT_EQ(left.physical, 0);
  EXPECT_TRUE(all.regions().empty());
}

/// A file of a pattern, away with the object.
class weights_file {
 public:
  explicit weights_file(std::uint64_t bytes, unsigned seed = 1) { write(pattern(bytes, seed)); }
  void write(const std::vector<std::byte>& bytes) const {
    std::ofstream out(path(), std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }
  [[nodiscard]] std::filesystem::path path() const { return folder_.path() / "weights"; }

 private:
  scratch_folder folder_;
};

class Source : public Transfer {
 protected:
  /// Regions of pieces that begin and end anywhere, across windows and pages of the file.
  static std::vector<region> make_regions_from(memory& all, const device& where,
                                               const file_source& file, bool absent) {
    std::vector<region> regions;
    for (const auto& [offset, bytes] : places()) {
      region_options options;
      options.source = region_source{
          file, {{0, offset, bytes / 2}, {bytes / 2, offset + bytes / 2, bytes - bytes / 2}}};
      options.absent = absent;
      regions.push_back(all.allocate(where, bytes, std::move(options)));
    }
    return regions;
  }
  static std::vector<std::pair<std::uint64_t, std::uint64_t>> places() {
    return {{0, 5_MiB}, {5_MiB + 32, 40}, {60_MiB - 7, 9_MiB + 1}, {6_MiB, 3_MiB}};
  }
  static constexpr std::uint64_t file_bytes = 70_MiB + 123;

  static void expect_contents_of(const std::vector<region>& regions) {
    static const std::vector<std::byte> all = pattern(file_bytes, 1);
    for (std::size_t i = 0; i < regions.size(); ++i) {
      std::vector<std::byte> seen(regions[i].size_bytes());
      regions[i].device().copy_to_host(seen.data(), regions[i].acquire().address(), seen.size());
      EXPECT_EQ(std::memcmp(seen.data(), all.data() + places()[i].first, seen.size()), 0) << i;
    }
  }
};

TEST_P(Source, FillsARegionNowAndAtEveryWake) {
  machine here(GetParam());
  const weights_file written(file_bytes);
  const file_source file(written.path());
  for (const std::uint64_t budget : {512_MiB, 12_MiB}) {  // with and without room for the file
    for (const bool absent : {false, true}) {
      const host_arena arena = arena_of(budget);
      memory all(in_small_steps(arena));
      const auto regions = make_regions_from(all, here.device(), file, absent);
      EXPECT_EQ(regions.front().state(), absent ? residency::discarded : residency::resident);
      if (absent) all.restore();
      expect_contents_of(regions);
      for (int round = 0; round < 2; ++round) {
        const auto out = all.evict({.otherwise = contents_action::discard});
        EXPECT_EQ(out.devices.at(0).copied_bytes, 0u);
        const auto in = all.restore();
        EXPECT_EQ(in.devices.at(0).refilled_bytes, 17_MiB + 41);
        const bool pinned = here.device().supports(capability::read_only_registration);
        if (budget > 100_MiB && pinned) {
          EXPECT_EQ(in.devices.at(0).staged_bytes, 0u);
        }
        expect_contents_of(regions);
      }
      EXPECT_LE(arena.info().held_bytes, budget);
    }
  }
}

// Room for one window of three beside what staging needs: with few threads the others take turns in
// it, with many they are staged, and through pinned buffers all the same.
TEST_P(Source, ABudgetWithoutRoomForTheFileIsKept) {
  constexpr std::uint64_t large = 150_MiB;
  const weights_file written(large);
  for (const unsigned threads : {1U, 2U, 6U}) {
    machine here(GetParam());
    const device which = here.device();
    const host_arena arena = arena_of(112_MiB);
    memory_options options = in_small_steps(arena);
    options.threads = threads;
    memory all(options);
    region_options from_file;
    from_file.source = region_source{file_source(written.path()), {}};
    from_file.absent = true;
    const region weights = all.allocate(which, large, std::move(from_file));
    std::atomic<std::uint64_t> most = 0;
    transfer_options watched;
    watched.progress = [&](const transfer_progress&) {
      most = std::max(most.load(), arena.info().held_bytes);
    };
    const auto in = all.restore({}, watched);
    EXPECT_LE(most, 112_MiB);
    EXPECT_TRUE(holds(weights, 1)) << threads;
    EXPECT_EQ(arena.info().not_pinned_because, "");
    if (!which.supports(capability::read_only_registration)) continue;
    // The second window and the rest of the file do not fit beside the first; the rest does.
    const std::uint64_t staged = in.devices.at(0).staged_bytes;
    if (threads == 1) {
      EXPECT_EQ(staged, 0u);
    } else if (threads == 6) {
      EXPECT_EQ(staged, 64_MiB);
    } else {
      EXPECT_LE(staged, 64_MiB);
    }
  }
}

TEST_P(Source, AFileThatIsNotWhatItWasFailsTheWakeAndNothingMoves) {
  machine here(GetParam());
  const weights_file written(file_bytes);
  const auto fails = [&](memory& all, const std::vector<region>& regions, const char* why) {
    const auto failure = error_of([&] { all.restore(); });
    EXPECT_EQ(failure.code(), status::io);
    EXPECT_THAT(failure.what(), testing::HasSubstr(written.path().string()));
    EXPECT_THAT(failure.what(), testing::HasSubstr(why));
    for (const region& each : regions) EXPECT_EQ(each.state(), residency::discarded);
    EXPECT_EQ(here.gpu().take_stock().physical, 0);
  };
  const auto asleep = [&](const auto& check) {
    memory all(in_small_steps(arena_of()));
    const auto regions = make_regions_from(all, here.device(), file_source(written.path()), false);
    all.evict({.otherwise = contents_action::discard});
    check(all, regions);
  };
  asleep([&](memory& all, const auto& regions) {
    written.write(pattern(file_bytes - 1, 1));
    fails(all, regions, "its size was");
    written.write(pattern(file_bytes, 1));
    fails(all, regions, "it was written to");
  });
  asleep([&](memory& all, const auto& regions) {
    const auto other = written.path().string() + ".new";
    std::filesystem::copy_file(written.path(), other);
    std::filesystem::rename(other, written.path());
    fails(all, regions, "replaced by another file");
  });
  asleep([&](memory& all, const auto& regions) {
    std::filesystem::remove(written.path());
    fails(all, regions, "No such file");
  });
}

TEST_P(Source, WhatWasWrittenSinceIsNotLost) {
  machine here(GetParam());
  const weights_file written(file_bytes);
  memory all(in_small_steps(arena_of()));
  auto regions = make_regions_from(all, here.device(), file_source(written.path()), false);
  fill(regions[0], 99);
  regions[0].mark_written();
  for (int round = 0; round < 2; ++round) {
    all.evict({.otherwise = contents_action::discard});
    EXPECT_EQ(regions[0].state(), residency::offloaded);
    EXPECT_EQ(regions[1].state(), residency::discarded);
    all.restore();
    EXPECT_TRUE(holds(regions[0], 99));
  }
}

TEST_P(Source, PiecesOutsideTheFileOrTheRegionAreRefused) {
  machine here(GetParam());
  const weights_file written(1_MiB);
  memory all(in_small_steps(arena_of()));
  const file_source file(written.path());
  const auto with = [&](file_piece piece) {
    region_options options;
    options.source = region_source{file, {piece}};
    return error_of([&] { static_cast<void>(all.allocate(here.device(), 4096, options)); }).code();
  };
  EXPECT_EQ(with({0, 1_MiB - 10, 11}), status::invalid_argument);
  EXPECT_EQ(with({4090, 0, 7}), status::invalid_argument);
  EXPECT_EQ(with({0, UINT64_MAX, 2}), status::invalid_argument);
  EXPECT_TRUE(all.regions().empty());
  EXPECT_EQ(error_of([] { file_source("/nowhere/at/all"); }).code(), status::not_found);
}

TEST_P(Source, ACallbackReadsAFileWithoutABufferOfItsOwn) {
  machine here(GetParam());
  const weights_file written(file_bytes);
  memory all(in_small_steps(arena_of()));
  const int descriptor = ::open(written.path().c_str(), O_RDONLY | O_CLOEXEC);
  std::uint64_t bytes = 9_MiB;
  region_options options;
  options.refill = [&](const refill_target& target) { target.read_file(0, descriptor, 3, bytes); };
  const region one = all.allocate(here.device(), 9_MiB, std::move(options));
  all.evict({.otherwise = contents_action::discard});
  all.restore();
  std::vector<std::byte> seen(one.size_bytes());
  here.device().copy_to_host(seen.data(), one.acquire().address(), seen.size());
  const auto expected = pattern(file_bytes, 1);
  EXPECT_TRUE(std::equal(seen.begin(), seen.end(), expected.begin() + 3));

  all.evict({.otherwise = contents_action::discard});
  std::filesystem::resize_file(written.path(), 1_MiB);
  const auto failure = error_of([&] { all.restore(); });
  EXPECT_EQ(failure.code(), status::callback);
  EXPECT_THAT(failure.what(), testing::HasSubstr("at offset 1048576: the file ends there"));
  EXPECT_EQ(one.state(), residency::discarded);
  ::close(descriptor);
}

INSTANTIATE_TEST_SUITE_P(Modules, Source, testing::ValuesIn(vendor_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Modules, Transfer, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
