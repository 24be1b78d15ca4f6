// The vendors' modules, the binaries that ship, against the simulated GPU: devices, memory,
// contexts.

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "support/expect_error.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::byte> counting_bytes(std::size_t bytes) {
  std::vector<std::byte> filled(bytes);
  for (std::size_t i = 0; i < bytes; ++i) filled[i] = static_cast<std::byte>(i * 7 + i / 251);
  return filled;
}

TEST_P(Vendor, DevicesAreDescribedAndFoundByPciAddress) {
  machine here(GetParam());
  const device first = here.device();
  EXPECT_EQ(first.type(), device_type::gpu);
  EXPECT_EQ(first.pci_address(), here.gpu().pci_address(0));
  EXPECT_EQ(here.registry().find(here.gpu().pci_address(1)).name(), here.device(1).name());
  EXPECT_THAT(first.description(), HasSubstr("Simulated"));
  for (const capability what :
       {capability::allocate, capability::stable_addresses, capability::copy, capability::streams,
        capability::pinned, capability::context, capability::reset, capability::pools,
        capability::graphs}) {
    EXPECT_TRUE(first.supports(what)) << to_string(what);
  }
}

TEST_P(Vendor, ObservingMakesNoContext) {
  machine here(GetParam());
  here.gpu().set_foreign_bytes(1, 512_MiB);
  const std::uint64_t generations[] = {here.device(0).generation(), here.device(1).generation()};
  for (int round = 0; round < 3; ++round) {
    for (int ordinal = 0; ordinal < 2; ++ordinal) {
      const device which = here.device(ordinal);
      const memory_info seen = which.memory();
      EXPECT_EQ(seen.total_bytes, here.gpu().made().total_bytes);
      // Devices are numbered against their bus numbers: taken by index this would be the other one.
      EXPECT_EQ(*seen.total_bytes - *seen.free_bytes, ordinal == 1 ? 512_MiB : 0);
      EXPECT_NE(which.context_alive(), tristate::yes);
      EXPECT_EQ(which.generation(), generations[ordinal]);
      // In a container HIP cannot tell, and then work may have to be waited for.
      if (which.context_alive() == tristate::no) which.synchronize();
    }
  }
  EXPECT_EQ(here.gpu().contexts_created(), 0);
}

TEST_P(Vendor, FiguresComeFromThePlatformAndFollowWhatIsAllocated) {
  machine here(GetParam());
  const device which = here.device();
  void* const address = which.allocate(64_MiB);
  EXPECT_EQ(which.context_alive(), tristate::yes);
  EXPECT_EQ(here.device(1).context_alive() == tristate::yes, false);
  const memory_info seen = which.memory();
  EXPECT_EQ(seen.source, GetParam().which == simgpu::vendor::hip ? memory_source::kernel
                                                                 : memory_source::management);
  const std::uint64_t held = here.gpu().made().context_bytes + 64_MiB;
  EXPECT_EQ(*seen.total_bytes - *seen.free_bytes, held);
  if (GetParam().per_process) {
    EXPECT_EQ(seen.used_by_process_bytes, held);
  } else {
    EXPECT_EQ(seen.used_by_process_bytes, std::nullopt);
  }
  which.deallocate(address, 64_MiB);
  EXPECT_EQ(*which.memory().free_bytes, *seen.free_bytes + 64_MiB);
}

// In a container the platform lists us under the host's process id, and then it cannot be known
// what is ours. That is not 0.
TEST_P(Vendor, InAContainerWhatWeHoldIsUnknown) {
  simgpu::scenario container;
  container.pid_offset = 100000;
  machine here(GetParam(), container);
  const device which = here.device();
  void* const address = which.allocate(1_MiB);
  EXPECT_EQ(which.memory().used_by_process_bytes, std::nullopt);
  EXPECT_NE(which.memory().free_bytes, std::nullopt);
  which.deallocate(address, 1_MiB);
}

TEST_P(Vendor, ContentsGoThereAndBack) {
  machine here(GetParam());
  const device which = here.device(1);
  const auto sent = counting_bytes(3_MiB + 17);
  void* const address = which.allocate(sent.size());
  which.copy_from_host(address, sent.data(), sent.size());
  std::vector<std::byte> received(sent.size());
  which.copy_to_host(received.data(), address, received.size());
  EXPECT_EQ(received, sent);

  which.fill(address, std::byte{0x5A}, 4096);
  const auto stream = which.stream_create();
  auto* const pinned = static_cast<std::byte*>(which.pinned_allocate(4096));
  which.copy_to_host_async(stream, pinned, address, 4096);
  which.stream_synchronize(stream);
  EXPECT_TRUE(std::all_of(pinned, pinned + 4096, [](std::byte b) { return b == std::byte{0x5A}; }));
  which.copy_from_host_async(stream, address, sent.data(), 4096);
  which.stream_synchronize(stream);
  which.copy_to_host(received.data(), address, 4096);
  EXPECT_TRUE(std::equal(sent.begin(), sent.begin() + 4096, received.begin()));

  which.pinned_free(pinned);
  which.stream_destroy(stream);
  which.deallocate(address, sent.size());
  simgpu::books left = here.gpu().take_stock();
  EXPECT_EQ(left.allocations + left.streams + left.pinned, 0) << to_string(left);
}

TEST_P(Vendor, ErrorsNameTheCallTheCodeAndTheDevice) {
  machine here(GetParam());
  const device which = here.device();
  const error failure =
      error_of([&] { static_cast<void>(which.allocate(std::uint64_t{64} << 30)); });
  EXPECT_EQ(failure.code(), status::out_of_device_memory);
  ASSERT_NE(failure.vendor(), nullptr);
  EXPECT_EQ(failure.vendor()->call, GetParam().allocate_call);
  EXPECT_EQ(failure.vendor()->code, GetParam().out_of_memory);
  EXPECT_EQ(failure.device(), GetParam().device);
  EXPECT_THAT(failure.what(), HasSubstr("out of memory"));
  // The runtime's own "last error" is the program's business, and was left clean.
  EXPECT_NO_THROW(which.synchronize());
}

TEST_P(Vendor, RegionsKeepAddressAndContentsWhileTheirMemoryIsAway) {
  machine here(GetParam());
  const device which = here.device();
  const auto sent = counting_bytes(5_MiB + 3);
  memory arena;
  const region weights = arena.allocate(which, sent.size(), {.tag = "weights", .name = "w"});
  const region cache = arena.allocate(
      which, 3_MiB, {.tag = "kv", .name = "kv", .refill = [](const refill_target& target) {
                       const std::vector<std::byte> fresh(target.size_bytes(), std::byte{1});
                       target.write(0, fresh.data(), fresh.size());
                     }});
  which.copy_from_host(weights.address(), sent.data(), sent.size());
  void* const before = weights.address();
  const auto awake = here.gpu().take_stock();

  const transfer_report slept = arena.evict(
      {.otherwise = contents_action::offload, .by_tag = {{"kv", contents_action::discard}}});
  const auto asleep = here.gpu().take_stock();
  EXPECT_EQ(asleep.physical, 0);
  EXPECT_EQ(asleep.mappings, 0);
  EXPECT_EQ(asleep.reservations, awake.reservations);
  EXPECT_EQ(awake.used_bytes - asleep.used_bytes, 10_MiB);  // 5 MiB and a bit, in units of 2 MiB
  EXPECT_EQ(slept.devices.at(0).freed_bytes(),
            GetParam().per_process ? std::optional<std::int64_t>(10_MiB) : std::nullopt);

  arena.restore();
  EXPECT_EQ(weights.address(), before);
  std::vector<std::byte> received(sent.size());
  which.copy_to_host(received.data(), weights.address(), received.size());
  EXPECT_EQ(received, sent);
  arena.arena().trim();
  EXPECT_EQ(here.gpu().take_stock(), awake);
}

TEST_P(Vendor, WithoutStableAddressesTheCapabilityIsAbsent) {
  simgpu::scenario plain;
  plain.stable_addresses = false;
  machine here(GetParam(), plain);
  EXPECT_FALSE(here.device().supports(capability::stable_addresses));
  memory arena;
  EXPECT_EQ(error_of([&] { static_cast<void>(arena.allocate(here.device(), 1_MiB)); }).code(),
            status::unsupported);
}

TEST_P(Vendor, ClosingGivesEverythingBack) {
  machine here(GetParam());
  {
    const device which = here.device();
    void* const address = which.allocate(1_MiB);
    which.deallocate(address, 1_MiB);
  }
  here.close();
  const auto left = here.gpu().take_stock();
  EXPECT_EQ(left.allocations + left.streams + left.graphs + left.physical, 0) << to_string(left);
}

TEST_P(Vendor, GraphsAreCountedUploadedAndDestroyed) {
  machine here(GetParam());
  const device which = here.device();
  std::size_t nodes = 42;
  EXPECT_EQ(which.graph_node_count(&nodes), 42u);
  void* graph = nullptr;
  ASSERT_EQ(here.gpu().graph_create(0, 1_MiB, &graph), simgpu::code::ok);
  which.graph_adopt(graph);
  if (which.supports(capability::graph_upload)) {
    const auto stream = which.stream_create();
    which.graph_upload(graph, stream);
    which.stream_destroy(stream);
  }
  which.graph_destroy(graph);
  EXPECT_EQ(here.gpu().take_stock().graphs, 0);
  EXPECT_EQ(error_of([&] { which.graph_destroy(graph); }).code(), status::stale);
}

TEST_P(Vendor, AskingOfOneDeviceWakesNoOther) {
  machine here(GetParam());
  const device which = here.device(1);
  which.context_create();
  std::size_t nodes = 3;
  EXPECT_EQ(which.graph_node_count(&nodes), 3u);
  if (which.supports(capability::graph_trim)) which.graph_trim();
  which.pool_trim();
  EXPECT_EQ(here.gpu().contexts_created(), 1);
}

#ifdef LULL_TEST_CUDA
class Cuda : public testing::Test {
 protected:
  Cuda() {
    for (const vendor_case& each : vendor_cases()) {
      if (each.which == simgpu::vendor::cuda) vendor = each;
    }
  }
  vendor_case vendor;
};

// cudaMemcpy from memory that is not pinned returns before the bytes are on the device, cudaMemset
// always; a stream that does not wait for the null stream would read what was there before.
TEST_F(Cuda, WhatIsWrittenHasArrived) {
  machine here(vendor);
  const device which = here.device();
  const auto sent = counting_bytes(1_MiB);
  void* const address = which.allocate(sent.size());
  which.copy_from_host(address, sent.data(), sent.size());
  EXPECT_EQ(here.gpu().under_way(), 0);
  which.fill(address, std::byte{1}, sent.size());
  EXPECT_EQ(here.gpu().under_way(), 0);
  which.deallocate(address, sent.size());
}

// A slice has the PCI address of its GPU; taken by that, the memory of all slices would be its own.
TEST_F(Cuda, ASliceOfAGpuIsFoundByItsOwnUuid) {
  simgpu::scenario sliced;
  sliced.slices = true;
  machine here(vendor, sliced);
  const device which = here.device();
  EXPECT_THAT(which.uuid(), testing::StartsWith("MIG-"));
  const memory_info seen = which.memory();
  EXPECT_EQ(seen.total_bytes, sliced.total_bytes);
  EXPECT_EQ(seen.used_by_process_bytes, std::nullopt);
}
#endif

INSTANTIATE_TEST_SUITE_P(Modules, Vendor, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
