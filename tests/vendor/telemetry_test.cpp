// What the platforms say that is wrong, odd or late.

#include <algorithm>

#include "support/expect_error.hpp"
#include "support/few_descriptors.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::HasSubstr;

class Telemetry : public Vendor {};

class Nvml : public Vendor {
 protected:
  void SetUp() override {
    if (GetParam().which != simgpu::vendor::cuda) GTEST_SKIP() << "the vendor has none";
  }
};

TEST_P(Nvml, ProcessesAreListedRightWhateverTheSizeOfAnEntry) {
  for (const std::size_t entry_bytes : {24, 32}) {
    // 32 fit into the first attempt; from 25 on, longer entries would not fit where shorter ones
    // do.
    for (const int others : {0, 1, 2, 25, 32, 33, 200}) {
      SCOPED_TRACE(testing::Message() << others << " entries of " << entry_bytes << " bytes");
      simgpu::scenario made;
      made.list_entry_bytes = entry_bytes;
      made.other_processes = others;
      machine here(GetParam(), made);
      here.device().context_create();
      const auto list = here.device().processes();
      ASSERT_EQ(list.size(), static_cast<std::size_t>(others) + 1);
      EXPECT_TRUE(std::all_of(list.begin(), list.end(), [](const device_process& each) {
        return each.id > 0 && each.used_bytes.value_or(0) >= 64_MiB;
      }));
      EXPECT_EQ(here.device().memory().used_by_process_bytes, made.context_bytes);
    }
  }
}

TEST_P(Nvml, AListOfEntriesThatNobodyKnowsIsNotBelieved) {
  simgpu::scenario made;
  made.list_entry_bytes = 40;
  machine here(GetParam(), made);
  here.device().context_create();
  const error failure = error_of([&] { static_cast<void>(here.device().processes()); });
  EXPECT_EQ(failure.code(), status::unsupported);
  EXPECT_THAT(failure.what(), HasSubstr("not of a size"));
  EXPECT_EQ(here.device().memory().used_by_process_bytes, std::nullopt);
}

TEST_P(Nvml, ResidueIsSeenWithLongerEntries) {
  simgpu::scenario made;
  made.list_entry_bytes = 32;
  made.residue_bytes = 376_MiB;
  machine here(GetParam(), made);
  here.device().context_create();
  EXPECT_EQ(dev_reset(here.device()).after.used_by_process_bytes, 376_MiB);
}

TEST_P(Nvml, WhatWeHoldIsNeverTakenForNothing) {
  machine here(GetParam());
  const device which = here.device();
  const std::uint64_t handle = which.vm_create(8_MiB);
  const auto& awake = which.memory().used_by_process_bytes;
  EXPECT_EQ(awake, here.gpu().take_stock().used_bytes);
  // By somebody else, and so with our memory there: the list has forgotten whose it is.
  ASSERT_EQ(here.gpu().reset(0), simgpu::code::ok);
  EXPECT_EQ(which.memory().used_by_process_bytes, std::nullopt);
  which.vm_destroy(handle);
  EXPECT_EQ(which.memory().used_by_process_bytes, 0u);
}

TEST_P(Telemetry, WhatAResetLeavesIsNoContext) {
  simgpu::scenario made;
  made.residue_bytes = 376_MiB;
  made.context_bytes = 500_MiB;
  machine here(GetParam(), made);
  const device which = here.device();
  for (int round = 0; round < 2; ++round) {
    which.context_create();
    EXPECT_EQ(which.context_alive(), tristate::yes);
    dev_reset(which);
    EXPECT_EQ(which.context_alive(), tristate::no);
  }
  // By the program itself, of which no call of ours tells.
  ASSERT_EQ(here.gpu().ensure_context(0), simgpu::code::ok);
  EXPECT_EQ(which.context_alive(), tristate::yes);
}

TEST_P(Telemetry, ATotalOfZeroIsNoAnswer) {
  simgpu::scenario made;
  made.answers_zero = true;
  machine here(GetParam(), made);
  const device which = here.device();
  EXPECT_EQ(which.memory().total_bytes, std::nullopt);
  EXPECT_EQ(which.memory().free_bytes, std::nullopt);
  which.context_create();
  // With a context CUDA's runtime can be asked instead.
  const memory_info seen = which.memory();
  if (GetParam().which == simgpu::vendor::cuda) {
    EXPECT_EQ(seen.total_bytes, made.total_bytes);
    EXPECT_EQ(seen.free_bytes, made.total_bytes - made.context_bytes);
  } else {
    EXPECT_EQ(seen.total_bytes, std::nullopt);
    EXPECT_EQ(seen.free_bytes, std::nullopt);
  }
}

TEST_P(Telemetry, AManagementLibraryThatDidNotStartIsAskedAgain) {
  if (GetParam().which == simgpu::vendor::hip) GTEST_SKIP() << "it reads files";
  const std::string start =
      GetParam().which == simgpu::vendor::cuda ? "nvmlInit_v2" : "mtmlLibraryInit";
  {
    machine here(GetParam(), {}, {{GetParam().name, "management_retry_ms", "0"}});
    here.gpu().script.fail(start, 1, 9);  // NVML_ERROR_DRIVER_NOT_LOADED
    EXPECT_EQ(here.device().memory().total_bytes, std::nullopt);
    EXPECT_EQ(here.device().memory().total_bytes, here.gpu().made().total_bytes);
    static_cast<void>(here.device().memory());
    EXPECT_EQ(here.gpu().script.calls(start), 2u) << "once it works it is not started again";
  }
  machine here(GetParam(), {}, {{GetParam().name, "management_retry_ms", "3600000"}});
  here.gpu().script.fail(start, 1, 9);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(here.device().memory().total_bytes, std::nullopt);
  EXPECT_EQ(here.gpu().script.calls(start), 1u) << "and not with every question";
}

TEST_P(Telemetry, PartitionsOfOneGpuAreToldApartOrUnknown) {
  if (GetParam().which != simgpu::vendor::hip) GTEST_SKIP() << "the others have none";
  simgpu::scenario made;
  made.partitions = true;
  machine here(GetParam(), made);
  const device first = here.device(0);
  const device second = here.device(1);
  first.context_create();
  for (const device& each : {first, second}) {
    EXPECT_EQ(each.memory().total_bytes, std::nullopt);
    EXPECT_EQ(each.memory().used_by_process_bytes, std::nullopt);
    EXPECT_EQ(each.pci_address(), "") << "it would name several";
    EXPECT_THAT(each.description(), HasSubstr("a partition of 0000:61:00.0"));
    EXPECT_EQ(error_of([&] { static_cast<void>(each.processes()); }).code(), status::unsupported);
  }
  EXPECT_EQ(second.context_alive(), tristate::cannot_tell);
  // Each has a context of its own, and so a generation.
  const std::uint64_t generations[] = {first.generation(), second.generation()};
  dev_reset(first);
  EXPECT_EQ(first.generation(), generations[0] + 1);
  EXPECT_EQ(second.generation(), generations[1]);
}

// What cannot be looked at for want of a descriptor is not 0, nor another device's.
TEST_P(Telemetry, WithoutDescriptorsNothingIsMadeUp) {
  for (const bool partitions : {false, true}) {
    simgpu::scenario made;
    made.partitions = partitions && GetParam().which == simgpu::vendor::hip;
    machine here(GetParam(), made);
    const device which = here.device();
    which.context_create();
    const memory_info before = which.memory();
    for (std::size_t n = 0; n < 3; ++n) {
      const few_descriptors now(n);
      memory_info seen;
      tristate alive = tristate::cannot_tell;
      try {
        alive = which.context_alive();
        seen = which.memory();
      } catch (const error&) {
        continue;  // it says so
      }
      EXPECT_NE(alive, tristate::no);
      for (const auto figure : {&memory_info::total_bytes, &memory_info::used_by_process_bytes}) {
        if (seen.*figure) {
          EXPECT_EQ(seen.*figure, before.*figure) << n << " descriptors";
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Modules, Nvml, testing::ValuesIn(vendor_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Modules, Telemetry, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
