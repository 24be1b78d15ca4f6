// Questions to the platform that hang, and what a vendor's machine can lack.

#include <chrono>
#include <memory>
#include <thread>

#include "support/expect_error.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class Probe : public Vendor {
 protected:
  /// What the module asks the management library. AMD's figures are files and cannot be hung here.
  static std::string question() {
    return GetParam().which == simgpu::vendor::cuda ? "nvmlDeviceGetMemoryInfo"
                                                    : "mtmlMemoryGetUsed";
  }
};

TEST_P(Probe, ThatHangsCostsItsCallerTheDeadlineAndOthersNothing) {
  if (GetParam().which == simgpu::vendor::hip) GTEST_SKIP() << "reads files";
  machine here(GetParam());
  const device which = here.device();
  here.gpu().script.hang(question());

  const error first = error_of([&] { static_cast<void>(which.memory(30ms)); });
  EXPECT_EQ(first.code(), status::timed_out);
  EXPECT_THAT(first.what(), HasSubstr("30 ms"));
  // Were this one to wait, the test would not end.
  const error second = error_of([&] { static_cast<void>(which.memory(1h)); });
  EXPECT_EQ(second.code(), status::timed_out);
  EXPECT_THAT(second.what(), HasSubstr("has not been answered yet"));
  EXPECT_EQ(here.gpu().script.calls(question()), 1u);

  here.gpu().script.clear();
  // It answers again once the one that hung is back.
  std::optional<memory_info> seen;
  while (!seen) {
    try {
      seen = which.memory();
    } catch (const error&) {
      std::this_thread::yield();
    }
  }
  EXPECT_EQ(seen->total_bytes, here.gpu().made().total_bytes);
}

TEST_P(Probe, WhetherThereIsAContextIsCannotTellWhenTheDriverHangs) {
  if (GetParam().which == simgpu::vendor::hip) GTEST_SKIP() << "reads files";
  machine here(GetParam());
  const device which = here.device();
  const std::string ask = GetParam().which == simgpu::vendor::cuda ? "cuDevicePrimaryCtxGetState"
                                                                   : "muDevicePrimaryCtxGetState";
  here.gpu().script.hang(ask);
  EXPECT_EQ(which.context_alive(30ms), tristate::cannot_tell);
  EXPECT_EQ(which.context_alive(1h), tristate::cannot_tell);
  EXPECT_EQ(here.gpu().script.calls(ask), 1u);
  here.gpu().script.clear();
  while (which.context_alive() == tristate::cannot_tell) std::this_thread::yield();
  EXPECT_EQ(which.context_alive(), tristate::no);
}

TEST_P(Probe, ThatHangsDoesNotStopTheBackendFromGoing) {
  if (GetParam().which == simgpu::vendor::hip) GTEST_SKIP() << "reads files";
  machine here(GetParam());
  here.gpu().script.hang(question());
  {
    const device which = here.device();
    EXPECT_EQ(error_of([&] { static_cast<void>(which.memory(10ms)); }).code(), status::timed_out);
  }
  here.close();
  here.gpu().script.clear();
  while (here.gpu().script.hanging() != 0) std::this_thread::yield();
}

TEST_P(Probe, ThatFailsLeavesFiguresUnknown) {
  if (GetParam().which == simgpu::vendor::hip) GTEST_SKIP() << "reads files";
  machine here(GetParam());
  const device which = here.device();
  here.gpu().script.fail(question(), 0, 999);
  EXPECT_EQ(which.memory().total_bytes, std::nullopt);
  EXPECT_EQ(here.gpu().contexts_created(), 0);
  if (GetParam().which != simgpu::vendor::cuda) return;
  // With a live context of ours the driver may be asked instead.
  which.context_create();
  const memory_info seen = which.memory();
  EXPECT_EQ(seen.source == memory_source::runtime || seen.source == memory_source::management,
            true);
  EXPECT_EQ(*seen.total_bytes - *seen.free_bytes, here.gpu().made().context_bytes);
}

TEST(HipReservations, AreCycledWhereMemoryStaysBehindAnAddress) {
  for (const vendor_case& each : vendor_cases()) {
    if (each.which != simgpu::vendor::hip) continue;
    for (const bool keeps : {false, true}) {
      simgpu::scenario made;
      made.unmap_keeps_memory = keeps;
      machine here(each, made);
      memory arena;
      const region weights = arena.allocate(here.device(), 64u << 20);
      void* const address = weights.address();
      const auto freed_before = here.gpu().script.calls("hipMemAddressFree");
      for (int round = 0; round < 3; ++round) {
        arena.evict({.otherwise = contents_action::offload});
        EXPECT_EQ(here.gpu().take_stock().used_bytes, here.gpu().made().context_bytes);
        arena.restore();
        EXPECT_EQ(weights.address(), address);
      }
      EXPECT_EQ(here.gpu().script.calls("hipMemAddressFree") - freed_before, keeps ? 3u : 0u);
    }
  }
}

// Somebody else of this process may allocate in the moment between the two looks.
TEST(HipReservations, OneSampleThatIsWrongDecidesNothing) {
  constexpr std::uint64_t bytes = 64u << 20;
  for (const vendor_case& each : vendor_cases()) {
    if (each.which != simgpu::vendor::hip) continue;
    machine here(each);
    const device which = here.device();
    if (which.memory().used_by_process_bytes == std::nullopt) GTEST_SKIP() << "nothing is measured";
    void* const address = which.vm_reserve(bytes);
    const auto cycles = [&] { return here.gpu().script.calls("hipMemAddressFree"); };
    const auto use_once = [&](bool others_allocate) {
      const std::uint64_t handle = which.vm_create(bytes);
      which.vm_map(address, bytes, handle);
      which.vm_unmap(address, bytes);
      void* const others = others_allocate ? which.allocate(bytes) : nullptr;
      which.vm_destroy(handle);
      if (others != nullptr) which.deallocate(others, bytes);
    };
    use_once(true);
    EXPECT_EQ(cycles(), 1u) << "it looked as if the memory had stayed";
    for (int i = 0; i < 5; ++i) use_once(false);
    EXPECT_EQ(cycles(), 1u);
    which.vm_release(address, bytes);
  }
}

class HipReservation : public testing::Test {
 protected:
  /// A machine on which memory stays behind its address.
  HipReservation() {
    simgpu::scenario made;
    made.unmap_keeps_memory = true;
    for (const vendor_case& each : vendor_cases()) {
      if (each.which == simgpu::vendor::hip) here.emplace(each, made);
    }
  }
  void SetUp() override {
    if (!here) GTEST_SKIP() << "the HIP module is not built";
    if (here->device().memory().used_by_process_bytes == std::nullopt) {
      here->device().context_create();
      if (here->device().memory().used_by_process_bytes == std::nullopt) GTEST_SKIP();
    }
  }
  void TearDown() override {
    EXPECT_THAT(simgpu::world::of(simgpu::vendor::hip).misuse(), testing::IsEmpty());
  }
  std::optional<machine> here;
};

TEST_F(HipReservation, ThatIsLostForAMomentIsTakenAgain) {
  for (int attempt = 0; attempt < 5; ++attempt) {
    memory arena;
    const region weights = arena.allocate(here->device(), 4u << 20);
    void* const address = weights.address();
    here->gpu().script.fail("hipMemAddressReserve", 1, 999);
    arena.evict({.otherwise = contents_action::offload});
    EXPECT_EQ(here->gpu().take_stock().physical, 0);
    try {
      arena.restore();
    } catch (const error& failure) {
      // Meanwhile the range is anybody's in this process: a thread that starts may have its stack
      // there.
      ASSERT_THAT(failure.what(), HasSubstr("somebody else took it"));
      continue;
    }
    EXPECT_EQ(weights.address(), address);
    EXPECT_EQ(weights.state(), residency::resident);
    return;
  }
  FAIL() << "somebody else took it, five times";
}

TEST_F(HipReservation, ThatIsLostIsAnErrorWhenItIsNeededAndAtNoOtherTime) {
  memory arena;
  {
    const region weights = arena.allocate(here->device(), 4u << 20, {.name = "w"});
    here->gpu().script.fail("hipMemAddressReserve", 0, 999);
    arena.evict({.otherwise = contents_action::offload});
    const error failure = error_of([&] { arena.restore(); });
    EXPECT_THAT(failure.what(), HasSubstr("cannot come back to its address"));
    EXPECT_EQ(weights.state(), residency::offloaded);
    EXPECT_NO_THROW(dev_reset(here->device())) << "there is nothing to refuse for";
  }
  const auto left = here->gpu().take_stock();
  EXPECT_EQ(left.physical + left.mappings + left.reservations, 0) << to_string(left);
}

TEST_F(HipReservation, ThatHoldsOtherMappingsIsLeftAlone) {
  const device which = here->device();
  constexpr std::uint64_t half = 2u << 20;
  auto* const address = static_cast<std::byte*>(which.vm_reserve(2 * half));
  const std::uint64_t first = which.vm_create(half);
  const std::uint64_t second = which.vm_create(half);
  which.vm_map(address, half, first);
  which.vm_map(address + half, half, second);
  which.vm_unmap(address, half);
  EXPECT_NO_THROW(which.vm_destroy(first));
  which.vm_unmap(address + half, half);
  which.vm_destroy(second);
  which.vm_release(address, 2 * half);
}

// All of them in one process, as the registry finds them: no symbol of one is taken for another's.
TEST(AllVendors, LiveInOneProcess) {
  std::vector<std::unique_ptr<machine>> machines;
  std::vector<void*> addresses;
  for (const vendor_case& each : vendor_cases()) {
    machines.push_back(std::make_unique<machine>(each));
    addresses.push_back(machines.back()->device().allocate(std::size_t{4096}));
  }
  for (std::size_t i = 0; i < machines.size(); ++i) {
    EXPECT_EQ(machines[i]->gpu().take_stock().allocations, 1);
    machines[i]->device().deallocate(addresses[i], 4096);
    EXPECT_TRUE(dev_reset(machines[i]->device()).was_reset);
    for (std::size_t other = i + 1; other < machines.size(); ++other) {
      EXPECT_EQ(machines[other]->gpu().take_stock().contexts, 1);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Modules, Probe, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
