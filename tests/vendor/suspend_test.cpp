// What a process has on its GPUs, moved to its host memory and back by the driver.

#include <unistd.h>

#include <chrono>
#include <future>

#include "support/eventually.hpp"
#include "support/expect_error.hpp"
#include "support/host_pages.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr int other_process = 4711;

class Suspend : public Vendor {
 protected:
  Suspend() : here(GetParam()), which(here.device(1)), own(::getpid()) {}

  void SetUp() override {
    if (!which.supports(capability::suspend)) GTEST_SKIP() << "the vendor cannot";
  }

  void suspend(std::int64_t pid) {
    which.suspend_lock(pid, 1s);
    which.suspend_save(pid);
  }
  void resume(std::int64_t pid) {
    which.suspend_restore(pid);
    which.suspend_unlock(pid);
  }

  machine here;
  const device which;
  const std::int64_t own;
};

TEST_P(Suspend, WhatCannotSaysSo) {
  // Runs for CUDA only, where a slice cannot.
  simgpu::scenario slices;
  slices.slices = true;
  machine sliced(GetParam(), slices);
  EXPECT_FALSE(sliced.device().supports(capability::suspend));
  simgpu::scenario shared;
  shared.shared_contexts = true;
  machine by_mps(GetParam(), shared);
  EXPECT_FALSE(by_mps.device().supports(capability::suspend));
}

TEST_P(Suspend, LeavesNothingOnTheDevicesAndBringsEverythingBack) {
  void* const address = which.allocate(1_MiB);
  which.fill(address, std::byte{7}, 1_MiB);
  const host_pages host(1_MiB);
  which.host_register(host.data(), 1_MiB);
  const stream_handle stream = which.stream_create();
  void* graph = nullptr;
  ASSERT_EQ(here.gpu().graph_create(1, 1_MiB, &graph), simgpu::code::ok);
  which.graph_adopt(graph);
  here.device(0).context_create();
  const simgpu::books before = here.gpu().take_stock();
  ASSERT_GT(before.used_bytes, 0u);

  EXPECT_EQ(which.suspend_state(own), gpu_state::running);
  suspend(own);
  EXPECT_EQ(which.suspend_state(own), gpu_state::suspended);
  EXPECT_EQ(here.gpu().take_stock().used_bytes, 0u);
  EXPECT_EQ(here.gpu().observe(1).used_bytes, 0u) << "as somebody outside sees it";
  EXPECT_EQ(here.gpu().carried_bytes(), before.used_bytes);

  resume(own);
  EXPECT_EQ(which.suspend_state(own), gpu_state::running);
  EXPECT_EQ(here.gpu().take_stock(), before) << to_string(here.gpu().take_stock());
  EXPECT_EQ(here.gpu().carried_bytes(), 0u);
  std::byte seen{};
  which.copy_to_host(&seen, address, 1);
  EXPECT_EQ(seen, std::byte{7});
  which.stream_synchronize(stream);
  EXPECT_EQ(here.gpu().graph_use(graph), simgpu::code::ok);

  which.graph_destroy(graph);
  which.stream_destroy(stream);
  which.host_unregister(host.data());
  which.deallocate(address, 1_MiB);
}

TEST_P(Suspend, CallsOfALockedProcessWaitAndNvmlOfASuspendedOneDoes) {
  which.context_create();
  which.suspend_lock(own, 1s);
  EXPECT_NO_THROW(static_cast<void>(here.gpu().observe(1)));
  auto work = std::async(std::launch::async, [&] { which.synchronize(); });
  EXPECT_EQ(work.wait_for(20ms), std::future_status::timeout);
  which.suspend_save(own);
  EXPECT_EQ(error_of([&] { static_cast<void>(which.memory(20ms)); }).code(), status::timed_out);
  EXPECT_EQ(which.context_alive(20ms), tristate::cannot_tell);
  which.suspend_restore(own);
  EXPECT_EQ(work.wait_for(20ms), std::future_status::timeout) << "still locked";
  which.suspend_unlock(own);
  work.get();
  EXPECT_TRUE(eventually([&] {
    try {
      return which.memory().used_by_process_bytes.value_or(0) != 0;
    } catch (const error&) {
      return false;  // the question from before is being answered
    }
  }));
}

TEST_P(Suspend, AnotherProcessGivesItsMemoryToOthersMeanwhile) {
  here.gpu().set_process_bytes(other_process, 1, 500_MiB);
  suspend(other_process);
  EXPECT_EQ(here.gpu().observe(1).used_bytes, 0u);
  EXPECT_EQ(here.gpu().contexts_created(), 0);
  resume(other_process);
  EXPECT_EQ(here.gpu().observe(1).used_bytes, 500_MiB);
}

TEST_P(Suspend, WorkThatDoesNotEndTimesTheLockOut) {
  void* graph = nullptr;
  ASSERT_EQ(here.gpu().graph_create(1, 1_MiB, &graph), simgpu::code::ok);
  ASSERT_EQ(here.gpu().graph_launch(graph), simgpu::code::ok);
  const error failure = error_of([&] { which.suspend_lock(own, 1ms); });
  EXPECT_EQ(failure.code(), status::timed_out);
  EXPECT_THAT(failure.what(), HasSubstr("did not end within the time"));
  EXPECT_EQ(which.suspend_state(own), gpu_state::running);
  which.synchronize();
  suspend(own);
  resume(own);
  EXPECT_EQ(here.gpu().graph_destroy(graph), simgpu::code::ok);
}

TEST_P(Suspend, ARestoreWithoutRoomLosesTheProcessForGood) {
  const int there = ::getppid();
  here.gpu().set_process_bytes(there, 1, 500_MiB);
  suspend(there);
  here.gpu().set_foreign_bytes(1, here.gpu().made().total_bytes - 100_MiB);
  EXPECT_EQ(error_of([&] { which.suspend_restore(there); }).code(), status::out_of_device_memory);
  here.gpu().set_foreign_bytes(1, 0);
  const error again = error_of([&] { which.suspend_restore(there); });
  EXPECT_EQ(again.code(), status::backend);
  EXPECT_THAT(again.what(), HasSubstr("lost in an earlier restore"));
  EXPECT_EQ(error_of([&] { which.suspend_unlock(there); }).code(), status::busy);
  EXPECT_EQ(which.suspend_state(there), gpu_state::suspended);
}

TEST_P(Suspend, OutOfTurnItIsRefused) {
  EXPECT_EQ(error_of([&] { which.suspend_save(other_process); }).code(), status::busy);
  EXPECT_EQ(error_of([&] { which.suspend_unlock(other_process); }).code(), status::busy);
  which.suspend_lock(other_process, 1s);
  const error twice = error_of([&] { which.suspend_lock(other_process, 1s); });
  EXPECT_EQ(twice.code(), status::busy);
  EXPECT_THAT(twice.what(), HasSubstr("process 4711 cannot be locked"));
  EXPECT_EQ(error_of([&] { which.suspend_restore(other_process); }).code(), status::busy);
  which.suspend_unlock(other_process);
  EXPECT_EQ(error_of([&] { which.suspend_lock(other_process, 0ms); }).code(),
            status::invalid_argument);
}

TEST_P(Suspend, ProcessesThatAreGoneOrUseNoGpuAreNotFound) {
  here.gpu().set_process(other_process, simgpu::world::process_kind::without_gpu);
  EXPECT_THAT(error_of([&] { which.suspend_lock(other_process, 1s); }).what(),
              HasSubstr("does not use a GPU"));
  // No process can have this id (proc(5): pid_max is at most 2^22).
  constexpr int nobody = 1 << 23;
  here.gpu().set_process(nobody, simgpu::world::process_kind::ended);
  for (const error& failure : {error_of([&] { static_cast<void>(which.suspend_state(nobody)); }),
                               error_of([&] { which.suspend_lock(nobody, 1s); })}) {
    EXPECT_EQ(failure.code(), status::not_found);
    EXPECT_THAT(failure.what(), HasSubstr("there is no such process"));
  }
}

TEST_P(Suspend, AProcessThatEndsWhileItIsSuspendedIsNotFoundAnyMore) {
  constexpr int nobody = 1 << 23;
  here.gpu().set_process_bytes(nobody, 1, 1_MiB);
  suspend(nobody);
  here.gpu().set_process(nobody, simgpu::world::process_kind::ended);
  EXPECT_EQ(error_of([&] { which.suspend_restore(nobody); }).code(), status::not_found);
  EXPECT_EQ(here.gpu().observe(1).used_bytes, 0u);
}

INSTANTIATE_TEST_SUITE_P(Modules, Suspend, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
