#include <lull/lull.hpp>

#include <unistd.h>

#include <cstring>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "support/host_pages.hpp"
#include "support/rss.hpp"

namespace {

using namespace lull::literals;
using lull::status;
using lull::test::error_of;
using lull::test::resident_bytes;
using testing::HasSubstr;

lull::registry_options with_capacity(const std::string& capacity) {
  lull::registry_options options;
  options.search = false;
  options.settings = {{"host", "capacity_bytes", capacity}};
  return options;
}

class HostBackend : public testing::Test {
 protected:
  lull::registry registry_{with_capacity("64MiB")};
  lull::device host_ = registry_.find("HOST");
  const std::uint64_t page_ = host_.vm_granularity();

  std::uint64_t used() const { return host_.memory().used_by_process_bytes.value(); }
};

TEST_F(HostBackend, DescribesItself) {
  EXPECT_EQ(host_.type(), lull::device_type::host);
  EXPECT_EQ(host_.backend(), "host");
  EXPECT_TRUE(host_.supports(lull::capability::host_accessible));
  EXPECT_TRUE(host_.supports(lull::capability::stable_addresses));
  EXPECT_FALSE(host_.supports(lull::capability::reset)) << "there is no context to reset";
  EXPECT_TRUE(host_.pci_address().empty());
}

TEST_F(HostBackend, TellsTotalFreeAndUsed) {
  const auto memory = host_.memory();
  EXPECT_EQ(memory.total_bytes, 64_MiB);
  EXPECT_EQ(memory.used_by_process_bytes, 0u);
  ASSERT_TRUE(memory.free_bytes);
  EXPECT_LE(*memory.free_bytes, 64_MiB);
  EXPECT_EQ(memory.source, lull::memory_source::accounting);
}

TEST_F(HostBackend, ReleasingAnAllocationLowersTheResidentSet) {
  void* const address = host_.allocate(48_MiB);
  EXPECT_EQ(used(), 48_MiB);
  const auto before = resident_bytes();
  std::memset(address, 1, 48_MiB);
  const auto filled = resident_bytes();
  EXPECT_GE(filled, before + 32_MiB);
  host_.deallocate(address, 48_MiB);
  EXPECT_LE(resident_bytes(), filled - 32_MiB);
  EXPECT_EQ(used(), 0u);
}

TEST_F(HostBackend, CapacityIsALimitAndTheErrorSaysWhatIsMissing) {
  void* const address = host_.allocate(60_MiB);
  const auto failure = error_of([&] { static_cast<void>(host_.allocate(10_MiB)); });
  EXPECT_EQ(failure.code(), status::out_of_device_memory);
  EXPECT_EQ(failure.device(), "HOST");
  EXPECT_THAT(failure.what(), HasSubstr("6 MiB missing"));
  EXPECT_EQ(error_of([&] { static_cast<void>(host_.vm_create(8_MiB)); }).code(),
            status::out_of_device_memory);
  EXPECT_EQ(used(), 60_MiB);
  host_.deallocate(address, 60_MiB);
}

TEST_F(HostBackend, MemoryComesAndGoesBehindAStableAddress) {
  void* const address = host_.vm_reserve(8_MiB);
  EXPECT_EQ(used(), 0u) << "a reservation is no memory";
  for (int round = 0; round < 3; ++round) {
    const auto handle = host_.vm_create(8_MiB);
    EXPECT_EQ(used(), 8_MiB);
    host_.vm_map(address, 8_MiB, handle);
    const auto before = resident_bytes();
    host_.fill(address, std::byte{0x5A}, 8_MiB);
    EXPECT_EQ(static_cast<unsigned char*>(address)[8_MiB - 1], 0x5A);
    const auto filled = resident_bytes();
    EXPECT_GE(filled, before + 4_MiB);
    host_.vm_unmap(address, 8_MiB);
    EXPECT_LE(resident_bytes(), filled - 4_MiB);
    host_.vm_destroy(handle);
    EXPECT_EQ(used(), 0u);
  }
  host_.vm_release(address, 8_MiB);
}

TEST_F(HostBackend, LargeReservationsStartAtAHugePage) {
  for (const std::uint64_t bytes : {2_MiB, 2_MiB + page_, 7_MiB}) {
    void* const address = host_.vm_reserve(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(address) % 2_MiB, 0u);
    host_.vm_release(address, bytes);
  }
}

TEST_F(HostBackend, AReservationGoesWhereItIsWantedIfThatIsFree) {
  void* const wanted = host_.vm_reserve(8_MiB);
  void* const beside = host_.vm_reserve(8_MiB, {.wanted = wanted});
  EXPECT_NE(beside, wanted) << "it is taken";
  host_.vm_release(wanted, 8_MiB);
  EXPECT_EQ(host_.vm_reserve(8_MiB, {.wanted = wanted}), wanted);
  for (void* const each : {wanted, beside}) {
    const auto handle = host_.vm_create(8_MiB);
    host_.vm_map(each, 8_MiB, handle);
    host_.fill(each, std::byte{1}, 8_MiB);
    host_.vm_unmap(each, 8_MiB);
    host_.vm_destroy(handle);
    host_.vm_release(each, 8_MiB);
  }
  EXPECT_EQ(error_of([&] { static_cast<void>(host_.vm_reserve(1, {.wanted = wanted})); }).code(),
            status::invalid_argument);
  EXPECT_EQ(error_of([&] { static_cast<void>(host_.vm_reserve(0, {.wanted = wanted})); }).code(),
            status::invalid_argument);
}

TEST_F(HostBackend, SeveralHandlesInOneReservation) {
  void* const address = host_.vm_reserve(4 * page_);
  auto* const second = static_cast<std::byte*>(address) + 2 * page_;
  const auto low = host_.vm_create(2 * page_);
  const auto high = host_.vm_create(2 * page_);
  host_.vm_map(address, 2 * page_, low);
  host_.vm_map(second, 2 * page_, high);
  *second = std::byte{7};
  host_.vm_unmap(address, 2 * page_);
  EXPECT_EQ(*second, std::byte{7}) << "unmapping one leaves the other";
  EXPECT_EQ(error_of([&] { host_.vm_release(address, 4 * page_); }).code(), status::busy);
  host_.vm_unmap(second, 2 * page_);
  host_.vm_destroy(low);
  host_.vm_destroy(high);
  host_.vm_release(address, 4 * page_);
}

TEST_F(HostBackend, MisuseIsAnErrorAndChangesNothing) {
  void* const address = host_.vm_reserve(4 * page_);
  const auto handle = host_.vm_create(2 * page_);
  const auto other = host_.vm_create(2 * page_);
  auto* const bytes = static_cast<std::byte*>(address);
  const auto expect = [](status code, auto&& work) { EXPECT_EQ(error_of(work).code(), code); };

  expect(status::invalid_argument, [&] { static_cast<void>(host_.allocate(0)); });
  expect(status::invalid_argument, [&] { host_.deallocate(address, page_); });
  expect(status::invalid_argument, [&] { static_cast<void>(host_.vm_reserve(0)); });
  expect(status::invalid_argument, [&] { static_cast<void>(host_.vm_reserve(page_ + 1)); });
  expect(status::invalid_argument, [&] { static_cast<void>(host_.vm_create(page_ - 1)); });
  expect(status::invalid_argument, [&] { host_.vm_map(address, page_, handle); });
  expect(status::invalid_argument, [&] { host_.vm_map(bytes + 3 * page_, 2 * page_, handle); });
  expect(status::invalid_argument, [&] { host_.vm_unmap(address, 2 * page_); });
  expect(status::invalid_argument, [&] { host_.vm_destroy(4711); });
  expect(status::invalid_argument, [&] { host_.vm_release(address, page_); });
  host_.vm_map(address, 2 * page_, handle);
  expect(status::busy, [&] { host_.vm_map(bytes + 2 * page_, 2 * page_, handle); });
  expect(status::busy, [&] { host_.vm_map(bytes + page_, 2 * page_, other); });
  expect(status::busy, [&] { host_.vm_destroy(handle); });

  EXPECT_EQ(used(), 4 * page_);
  host_.vm_unmap(address, 2 * page_);
  host_.vm_destroy(handle);
  host_.vm_destroy(other);
  host_.vm_release(address, 4 * page_);
  EXPECT_EQ(used(), 0u);
}

TEST_F(HostBackend, AnImpossibleReservationFailsWithTheSystemsCode) {
  const auto failure =
      error_of([&] { static_cast<void>(host_.vm_reserve(std::uint64_t{1} << 62)); });
  EXPECT_EQ(failure.code(), status::out_of_device_memory);
  ASSERT_NE(failure.vendor(), nullptr);
  EXPECT_EQ(failure.vendor()->call, "mmap");
  EXPECT_EQ(failure.vendor()->code, ENOMEM);
}

TEST_F(HostBackend, StreamsAndEventsAreDoneWhenTheyAreAsked) {
  std::byte* const host = static_cast<std::byte*>(host_.allocate(2 * page_));
  void* const address = host_.allocate(page_);
  host[0] = std::byte{5};
  const auto stream = host_.stream_create();
  const auto event = host_.event_create();
  EXPECT_TRUE(host_.event_query(event));
  host_.copy_from_host_async(stream, address, host, page_);
  host_.event_record(event, stream);
  host_.stream_wait_event(stream, event);
  host_.copy_to_host_async(stream, host + page_, address, page_);
  host_.event_synchronize(event);
  host_.stream_synchronize(stream);
  EXPECT_TRUE(host_.event_query(event));
  EXPECT_EQ(host[page_], std::byte{5});

  host_.event_destroy(event);
  host_.stream_destroy(stream);
  EXPECT_THAT(error_of([&] { host_.event_record(event, stream); }).what(), HasSubstr("no event"));
  EXPECT_THAT(error_of([&] { host_.stream_synchronize(stream); }).what(), HasSubstr("no stream"));
  host_.deallocate(address, page_);
  host_.deallocate(host, 2 * page_);
}

TEST_F(HostBackend, RegistrationsMustBeWholePagesThatAreNotRegisteredYet) {
  const lull::test::host_pages pages(4 * page_);
  const auto refusal = [&](std::uint64_t first, std::uint64_t bytes) {
    return error_of([&] { host_.host_register(pages.data() + first, bytes); });
  };
  host_.host_register(pages.data() + page_, 2 * page_);
  EXPECT_THAT(refusal(0, 2 * page_).what(), HasSubstr("registered already"));
  EXPECT_THAT(refusal(2 * page_, page_).what(), HasSubstr("registered already"));
  EXPECT_THAT(refusal(0, page_ / 2).what(), HasSubstr("whole pages"));
  EXPECT_THAT(refusal(1, page_).what(), HasSubstr("whole pages"));
  EXPECT_EQ(refusal(0, 0).code(), status::invalid_argument);
  host_.host_register(pages.data(), page_, lull::host_access::read_only);
  host_.host_register(pages.data() + 3 * page_, page_);
  host_.host_unregister(pages.data() + page_);
  host_.host_register(pages.data() + 2 * page_, page_);
  EXPECT_THAT(error_of([&] { host_.host_unregister(pages.data() + page_); }).what(),
              HasSubstr("nothing is registered"));
}

TEST_F(HostBackend, KeepsItsBooksUnderThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 50; ++i) {
        void* const plain = host_.allocate(page_);
        void* const address = host_.vm_reserve(2 * page_);
        const auto handle = host_.vm_create(2 * page_);
        host_.vm_map(address, 2 * page_, handle);
        host_.fill(address, std::byte{1}, 2 * page_);
        host_.vm_unmap(address, 2 * page_);
        host_.vm_destroy(handle);
        host_.vm_release(address, 2 * page_);
        host_.deallocate(plain, page_);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(used(), 0u);
}

TEST(HostSettings, BadOnesNameWhatWouldBeRight) {
  const auto open = [](const std::string& key, const std::string& value) {
    return error_of([&] {
      lull::registry_options options;
      options.search = false;
      options.settings = {{"host", key, value}};
      lull::registry registry(std::move(options));
    });
  };
  EXPECT_THAT(open("capacity", "1GiB").what(), HasSubstr("capacity_bytes"));
  EXPECT_EQ(open("capacity_bytes", "lots").code(), status::invalid_argument);
  EXPECT_THAT(open("capacity_bytes", "lots").what(), HasSubstr("'lots'"));
  EXPECT_THAT(open("capacity_bytes", "1").what(), HasSubstr("one page"));
}

}  // namespace
