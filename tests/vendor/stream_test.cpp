// Streams, events, and host memory that is registered.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "simgpu/current_device.hpp"
#include "support/expect_error.hpp"
#include "support/host_pages.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::HasSubstr;

TEST_P(Vendor, EventsTellHowFarAStreamIs) {
  machine here(GetParam());
  const device which = here.device(1);
  const stream_handle first = which.stream_create();
  const stream_handle second = which.stream_create();
  const event_handle event = which.event_create();
  EXPECT_TRUE(which.event_query(event)) << "never recorded: nothing to wait for";

  const host_pages host(1_MiB);
  void* const address = which.allocate(1_MiB);
  which.copy_from_host_async(first, address, host.data(), 1_MiB);
  which.event_record(event, first);
  which.stream_wait_event(second, event);
  which.copy_to_host_async(second, host.data(), address, 1_MiB);
  which.stream_synchronize(second);
  which.event_synchronize(event);
  EXPECT_TRUE(which.event_query(event));

  which.deallocate(address, 1_MiB);
  which.event_destroy(event);
  which.stream_destroy(first);
  which.stream_destroy(second);
  EXPECT_EQ(here.gpu().take_stock().events, 0);
  EXPECT_EQ(error_of([&] { which.event_destroy(event); }).code(), status::stale);
}

TEST_P(Vendor, AnEventThatHasNotHappenedIsNoError) {
  // cudaErrorNotReady, hipErrorNotReady and what llama.cpp knows of MUSA.
  constexpr int not_ready = 600;
  machine here(GetParam());
  const device which = here.device();
  const event_handle event = which.event_create();
  here.gpu().script.fail(GetParam().name + "EventQuery", 1, not_ready);
  EXPECT_FALSE(which.event_query(event));
  EXPECT_TRUE(which.event_query(event));
  EXPECT_EQ(simgpu::this_thread(GetParam().which).last_error, 0) << "the program would find it";
  which.event_destroy(event);
}

TEST_P(Vendor, EventsDieWithTheContextAndHoldAResetUp) {
  machine here(GetParam());
  const device which = here.device();
  const event_handle event = which.event_create();
  EXPECT_THAT(error_of([&] { dev_reset(which); }).what(), HasSubstr("1 event"));
  dev_reset(which, {.drop = true});
  const stream_handle stream = which.stream_create();
  EXPECT_EQ(error_of([&] { which.event_record(event, stream); }).code(), status::stale);
  EXPECT_EQ(error_of([&] { which.stream_wait_event(stream, event); }).code(), status::stale);
  EXPECT_EQ(error_of([&] { static_cast<void>(which.event_query(event)); }).code(), status::stale);
  which.stream_destroy(stream);
}

TEST_P(Vendor, HostMemoryIsRegisteredOnce) {
  machine here(GetParam());
  const device which = here.device(1);
  ASSERT_TRUE(which.supports(capability::registration));
  const host_pages host(2_MiB);
  which.host_register(host.data(), 1_MiB);
  which.host_register(host.data() + 1_MiB, 1_MiB);
  EXPECT_EQ(here.gpu().take_stock().registrations, 2);

  const error twice = error_of([&] { which.host_register(host.data(), 1_MiB); });
  EXPECT_EQ(twice.code(), status::backend);
  ASSERT_NE(twice.vendor(), nullptr);
  EXPECT_EQ(twice.vendor()->code, 712);

  which.host_unregister(host.data());
  which.host_unregister(host.data() + 1_MiB);
  EXPECT_EQ(here.gpu().take_stock().registrations, 0);
  EXPECT_EQ(error_of([&] { which.host_unregister(host.data()); }).code(), status::stale);
}

TEST_P(Vendor, MemoryThatMayOnlyBeReadIsRegisteredWhereTheDeviceCan) {
  machine here(GetParam());
  const device which = here.device();
  const host_pages host(1_MiB);
  ASSERT_EQ(::mprotect(host.data(), 1_MiB, PROT_READ), 0);
  EXPECT_EQ(error_of([&] { which.host_register(host.data(), 1_MiB); }).code(), status::backend);
  if (which.supports(capability::read_only_registration)) {
    which.host_register(host.data(), 1_MiB, host_access::read_only);
    which.host_unregister(host.data());
  } else {
    EXPECT_EQ(
        error_of([&] { which.host_register(host.data(), 1_MiB, host_access::read_only); }).code(),
        status::unsupported);
  }
  EXPECT_EQ(which.supports(capability::read_only_registration), GetParam().name == "cuda");
}

TEST_P(Vendor, AResetEndsRegistrationsAndIsNotHeldUpByThem) {
  machine here(GetParam());
  const device which = here.device();
  const host_pages host(1_MiB);
  host.data()[0] = std::byte{7};
  which.host_register(host.data(), 1_MiB);
  dev_reset(which);
  EXPECT_EQ(here.gpu().take_stock().registrations, 0);
  EXPECT_EQ(host.data()[0], std::byte{7});
  EXPECT_EQ(error_of([&] { which.host_unregister(host.data()); }).code(), status::stale);
  which.host_register(host.data(), 1_MiB);
  which.host_unregister(host.data());
}

TEST_P(Vendor, ARegistrationIsLeftAloneByTheResetOfAnotherDevice) {
  machine here(GetParam());
  const host_pages host(1_MiB);
  here.device(0).host_register(host.data(), 1_MiB);
  here.device(1).context_create();
  dev_reset(here.device(1));
  EXPECT_EQ(here.gpu().take_stock().registrations, 1);
  here.device(0).host_unregister(host.data());
}

}  // namespace
}  // namespace lull::test
