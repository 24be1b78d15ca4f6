// Stable addresses when calls fail twice, and after a reset.

#include "support/expect_error.hpp"
#include "vendor/operations.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

class StableAddresses : public Vendor {
 protected:
  StableAddresses() : here(GetParam()), which(here.device()) {
    which.context_create();
    before = here.gpu().take_stock();
    address = which.vm_reserve(piece);
    handle = which.vm_create(piece);
  }

  /// The name of a driver's function, without its prefix: "MemMap".
  [[nodiscard]] std::string driver(const std::string& name) const {
    const std::string& vendor = GetParam().name;
    return (vendor == "cuda" ? "cu" : vendor == "hip" ? "hip" : "mu") + name;
  }
  void fail_access_and_undo() {
    here.gpu().script.fail(driver("MemSetAccess"), 1, injected_code);
    here.gpu().script.fail(driver("MemUnmap"), 1, injected_code);
    EXPECT_EQ(error_of([&] { which.vm_map(address, piece, handle); }).vendor()->call,
              driver("MemSetAccess"));
    EXPECT_EQ(here.gpu().take_stock().mappings, 1) << "what the module must not forget";
  }

  machine here;
  const device which;
  simgpu::books before;
  void* address = nullptr;
  std::uint64_t handle = 0;
};

TEST_P(StableAddresses, AMapThatCouldNotBeUndoneIsUndoneWhenItsMemoryGoes) {
  fail_access_and_undo();
  which.vm_destroy(handle);
  which.vm_release(address, piece);
  EXPECT_EQ(here.gpu().take_stock(), before) << to_string(here.gpu().take_stock());
}

TEST_P(StableAddresses, AMapThatCouldNotBeUndoneIsUndoneWhenItsRangeGoes) {
  fail_access_and_undo();
  which.vm_release(address, piece);
  which.vm_destroy(handle);
  EXPECT_EQ(here.gpu().take_stock(), before) << to_string(here.gpu().take_stock());
}

TEST_P(StableAddresses, AMapThatCouldNotBeUndoneCanBeMadeAgain) {
  fail_access_and_undo();
  which.vm_map(address, piece, handle);
  which.fill(address, std::byte{1}, piece);
  which.vm_unmap(address, piece);
  which.vm_destroy(handle);
  which.vm_release(address, piece);
  EXPECT_EQ(here.gpu().take_stock(), before) << to_string(here.gpu().take_stock());
}

TEST_P(StableAddresses, WhatStillCannotBeUndoneStopsWhatNeedsIt) {
  fail_access_and_undo();
  here.gpu().script.fail(driver("MemUnmap"), 1, injected_code);
  EXPECT_EQ(error_of([&] { which.vm_destroy(handle); }).vendor()->call, driver("MemUnmap"));
  EXPECT_EQ(here.gpu().take_stock().physical, before.physical + 1);
  which.vm_destroy(handle);
  which.vm_release(address, piece);
  EXPECT_EQ(here.gpu().take_stock(), before) << to_string(here.gpu().take_stock());
}

TEST_P(StableAddresses, MemoryFromBeforeAResetIsStaleAndNotTheVendorsToJudge) {
  dev_reset(which, {.drop = true});
  const std::uint64_t calls = here.gpu().script.calls(driver("MemMap"));
  EXPECT_EQ(error_of([&] { which.vm_map(address, piece, handle); }).code(), status::stale);
  EXPECT_EQ(here.gpu().script.calls(driver("MemMap")), calls);
  which.vm_release(address, piece);
}

TEST_P(StableAddresses, ARangeThatWasReleasedOrIsTooShortIsStaleToo) {
  EXPECT_EQ(error_of([&] { which.vm_map(address, 2 * piece, handle); }).code(), status::stale);
  which.vm_release(address, piece);
  EXPECT_EQ(error_of([&] { which.vm_map(address, piece, handle); }).code(), status::stale);
  which.vm_destroy(handle);
}

// A size that no machine has is refused at once: what is kept of a region's parts would fill the
// memory of the host.
TEST_P(StableAddresses, OfSizesThatNoMachineHasAreRefusedAtOnce) {
  const simgpu::books made = here.gpu().take_stock();
  memory all;
  for (const unsigned bits : {60u, 62u, 63u}) {
    for (const std::uint64_t bytes : {(std::uint64_t{1} << bits) - 1, std::uint64_t{1} << bits}) {
      EXPECT_THROW(static_cast<void>(all.allocate(which, bytes)), error) << bytes;
    }
  }
  EXPECT_THROW(static_cast<void>(all.allocate(which, UINT64_MAX - (64u << 20))), error);
  EXPECT_TRUE(all.regions().empty());
  EXPECT_EQ(here.gpu().take_stock(), made);
}

INSTANTIATE_TEST_SUITE_P(Modules, StableAddresses, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
