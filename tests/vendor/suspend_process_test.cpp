// Any process off its GPUs and back: real processes, whose share of a GPU is simulated.

#include <lull/lull.h>

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/eventually.hpp"
#include "support/expect_error.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using step = suspend_progress::step;

// As CUDA numbers them.

class SuspendProcess : public Vendor {
 protected:
  SuspendProcess() : here(GetParam()) {
    for (const device& each : here.registry().devices()) devices.push_back(each);
  }

  void SetUp() override {
    if (!here.device().supports(capability::suspend)) GTEST_SKIP() << "the vendor cannot";
  }

  process start(const std::string& script = "exec sleep 1000") {
    process_options options;
    options.arguments = {"sh", "-c", script};
    options.devices = devices;
    return process(std::move(options));
  }

  /// The ids of a shell and of the two that it started.
  std::vector<int> start_tree(std::optional<process>& top) {
    top.emplace(start("sleep 1000 & sleep 1000 & wait"));
    std::vector<int> ids;
    const std::string children =
        "/proc/" + std::to_string(top->id()) + "/task/" + std::to_string(top->id()) + "/children";
    EXPECT_TRUE(eventually([&] {
      ids = {top->id()};
      std::ifstream in(children);
      for (int id = 0; in >> id;) ids.push_back(id);
      return ids.size() == 3;
    }));
    return ids;
  }

  [[nodiscard]] suspend_options recorded() const { return {.directory = files.path()}; }
  [[nodiscard]] std::size_t file_count() const {
    std::size_t count = 0;
    for (const auto& each : std::filesystem::directory_iterator(files.path())) {
      count += each.is_regular_file() ? 1 : 0;
    }
    return count;
  }

  machine here;
  std::vector<device> devices;
  scratch_folder files;
};

TEST_P(SuspendProcess, WhatItHasGoesAndComesBack) {
  process child = start();
  here.gpu().set_process_bytes(child.id(), 0, 300_MiB);
  here.gpu().set_process_bytes(child.id(), 1, 500_MiB);
  std::vector<step> steps;
  suspend_options how = recorded();
  how.on_progress = [&](const suspend_progress& done) { steps.push_back(done.done); };
  const auto done = suspend_process(devices, child.id(), how);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(here.gpu().process_state(child.id()), suspended);
  EXPECT_EQ(here.gpu().observe(0).used_bytes + here.gpu().observe(1).used_bytes, 0u);
  EXPECT_EQ(done[0].parts, (std::vector<suspended_part>{{"CUDA0", 300_MiB}, {"CUDA1", 500_MiB}}));
  EXPECT_EQ(done[0].by_process, ::getpid());
  EXPECT_EQ(done[0].by_user, ::geteuid());
  EXPECT_TRUE(done[0].host_bytes.has_value());
  EXPECT_EQ(here.gpu().contexts_created(), 0);
  EXPECT_EQ(file_count(), 1u);

  resume_options back;
  back.on_progress = [&](const suspend_progress& one) { steps.push_back(one.done); };
  resume_processes(devices, done, back);
  EXPECT_EQ(here.gpu().process_state(child.id()), running);
  EXPECT_EQ(here.gpu().observe(1).used_bytes, 500_MiB);
  EXPECT_EQ(steps, (std::vector<step>{step::locked, step::saved, step::restored, step::unlocked}));
  EXPECT_EQ(file_count(), 0u);
}

TEST_P(SuspendProcess, WhatIsNotListedIsKnownByWhatBecameFree) {
  process child = start();
  simgpu::scenario silent;
  silent.per_process = false;
  machine mute(GetParam(), silent);
  const std::vector<device> all{mute.device(0), mute.device(1)};
  mute.gpu().set_process_bytes(child.id(), 1, 500_MiB);
  const auto done = suspend_process(all, child.id());
  EXPECT_EQ(done[0].parts, (std::vector<suspended_part>{{"CUDA1", 500_MiB}}));
  resume_processes(all, done);
}

TEST_P(SuspendProcess, WithoutRoomItStaysSuspendedAndTheArithmeticIsTold) {
  process child = start();
  here.gpu().set_process_bytes(child.id(), 1, 3_GiB);
  const auto done = suspend_process(devices, child.id(), recorded());
  here.gpu().set_foreign_bytes(1, 6_GiB);
  const error failure = error_of([&] { resume_processes(devices, done); });
  EXPECT_EQ(failure.code(), status::out_of_device_memory);
  EXPECT_THAT(failure.what(), HasSubstr("takes 3 GiB on CUDA1, and 256 MiB are to be left there; 2 "
                                        "GiB are free: 1.25 GiB are missing"));
  EXPECT_EQ(here.gpu().script.calls("cuCheckpointProcessRestore"), 0u) << "never try and see";
  // Enough for it, and not for the margin.
  here.gpu().set_foreign_bytes(1, 5_GiB - 1_MiB);
  EXPECT_EQ(error_of([&] { resume_processes(devices, done); }).code(),
            status::out_of_device_memory);
  here.gpu().set_foreign_bytes(1, 4_GiB);
  resume_processes(devices, done);
  EXPECT_EQ(here.gpu().process_state(child.id()), running);
}

TEST_P(SuspendProcess, WithoutHostMemoryNothingIsTouched) {
  simgpu::scenario huge;
  huge.total_bytes = std::uint64_t{1} << 50;
  machine large(GetParam(), huge);
  process child = start();
  large.gpu().set_process_bytes(child.id(), 0, std::uint64_t{1} << 49);
  const error failure =
      error_of([&] { static_cast<void>(suspend_process({large.device()}, child.id())); });
  EXPECT_EQ(failure.code(), status::out_of_host_memory);
  EXPECT_THAT(failure.what(), HasSubstr("512 TiB for what is on the devices"));
  EXPECT_EQ(large.gpu().script.calls("cuCheckpointProcessLock"), 0u);
}

TEST_P(SuspendProcess, WhatTheDriverDoesNotMoveIsToldInWords) {
  process child = start();
  here.gpu().set_process_bytes(child.id(), 0, 300_MiB);
  here.gpu().hold_what_cannot_be_saved(child.id(), false);
  const error refused =
      error_of([&] { static_cast<void>(suspend_process(devices, child.id(), recorded())); });
  EXPECT_EQ(refused.code(), status::unsupported);
  EXPECT_THAT(refused.what(), HasSubstr("managed memory"));
  EXPECT_EQ(here.gpu().process_state(child.id()), running);
  EXPECT_EQ(file_count(), 0u);
  here.gpu().hold_what_cannot_be_saved(child.id(), true);
  const error ruined =
      error_of([&] { static_cast<void>(suspend_process(devices, child.id(), recorded())); });
  EXPECT_THAT(ruined.what(),
              testing::AllOf(HasSubstr("managed memory"),
                             HasSubstr("process " + std::to_string(child.id()) + " is lost")));
  EXPECT_THAT(error_of([&] { static_cast<void>(suspend_process(devices, child.id())); }).what(),
              HasSubstr("was lost"));
}

TEST_P(SuspendProcess, ProcessesThatCannotBeSuspendedAreRefusedWithTheReason) {
  process child = start();
  const auto refusal = [&](int id) {
    return error_of([&] { static_cast<void>(suspend_process(devices, id)); });
  };
  EXPECT_EQ(refusal(1 << 23).code(), status::not_found);
  EXPECT_THAT(refusal(1 << 23).what(), HasSubstr("there is no process 8388608"));
  EXPECT_EQ(refusal(1).code(), status::invalid_argument);
  EXPECT_EQ(refusal(::getpid()).code(), status::invalid_argument);
  here.gpu().set_process(child.id(), simgpu::world::process_kind::without_gpu);
  EXPECT_THAT(refusal(child.id()).what(), HasSubstr("does not use a GPU"));
  here.gpu().set_process(child.id(), simgpu::world::process_kind::on_gpu);
  const auto done = suspend_process(devices, child.id());
  EXPECT_EQ(refusal(child.id()).code(), status::busy);
  EXPECT_THAT(refusal(child.id()).what(), HasSubstr("is suspended already"));
  resume_processes(devices, done);
  EXPECT_EQ(error_of([&] { resume_processes(devices, done); }).code(), status::busy);
  const std::vector<device> host{here.registry().find("HOST")};
  EXPECT_EQ(error_of([&] { static_cast<void>(suspend_process(host, child.id())); }).code(),
            status::unsupported);
}

TEST_P(SuspendProcess, AfterAFailureAtAnyCallItRunsAsBefore) {
  // Asked again at once where its start failed: else attempts end there for ten seconds.
  const machine prompt(GetParam(), {}, {{GetParam().name, "management_retry_ms", "0"}});
  const simgpu::world& gpu = prompt.gpu();
  const std::vector<device> all{prompt.device(0), prompt.device(1)};
  process child = start();
  prompt.gpu().set_process_bytes(child.id(), 1, 500_MiB);
  std::set<std::string> failures;
  for (std::uint64_t n = 1;; ++n) {
    ASSERT_LT(n, 1000u);
    prompt.gpu().script.fail_nth(n, 999);
    try {
      const auto done = suspend_process(all, child.id(), recorded());
      const std::string failed = gpu.script.failed_function();
      prompt.gpu().script.fail_nth(0, 0);
      EXPECT_EQ(gpu.process_state(child.id()), suspended) << failed;
      resume_processes(all, done);
      if (failed.empty()) break;
    } catch (const error&) {
      const std::string failed = gpu.script.failed_function();
      prompt.gpu().script.fail_nth(0, 0);
      failures.insert(failed);
      EXPECT_EQ(gpu.process_state(child.id()), running) << failed;
      EXPECT_EQ(gpu.observe(1).used_bytes, 500_MiB) << failed;
      EXPECT_EQ(file_count(), 0u) << failed;
    }
  }
  EXPECT_GE(failures.size(), 4u) << "the state, the lock, the save, and what is free";
}

TEST_P(SuspendProcess, ALockThatTimesOutLeavesItRunning) {
  process child = start();
  here.gpu().script.fail("cuCheckpointProcessLock", 1, 600);  // CUDA_ERROR_NOT_READY
  const error failure = error_of([&] { static_cast<void>(suspend_process(devices, child.id())); });
  EXPECT_EQ(failure.code(), status::timed_out);
  EXPECT_EQ(here.gpu().process_state(child.id()), running);
}

TEST_P(SuspendProcess, OneThatCannotBeUnlockedAgainIsNamed) {
  process child = start();
  here.gpu().script.fail("cuCheckpointProcessCheckpoint", 1, 999);
  here.gpu().script.fail("cuCheckpointProcessUnlock", 1, 999);
  const error failure = error_of([&] { static_cast<void>(suspend_process(devices, child.id())); });
  EXPECT_THAT(failure.what(), HasSubstr("is still locked"));
  // And resuming it unlocks it.
  resume_processes(devices, find_suspended(devices, child.id(), false, {}));
  EXPECT_EQ(here.gpu().process_state(child.id()), running);
}

TEST_P(SuspendProcess, ARestoreThatFailsIsToldAsALoss) {
  process child = start();
  here.gpu().set_process_bytes(child.id(), 1, 500_MiB);
  const auto done = suspend_process(devices, child.id(), recorded());
  here.gpu().script.fail("cuCheckpointProcessRestore", 1, 2);
  const error failure = error_of([&] { resume_processes(devices, done); });
  EXPECT_EQ(failure.code(), status::backend);
  EXPECT_THAT(failure.what(), HasSubstr("is lost"));
  const auto found = find_suspended(devices, files.path());
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].state, gpu_state::lost);
  EXPECT_THAT(error_of([&] { resume_processes(devices, found); }).what(),
              HasSubstr("was lost in an earlier restore"));
}

TEST_P(SuspendProcess, OneThatEndsMeanwhileIsNotFound) {
  std::optional<process> child(start());
  here.gpu().set_process_bytes(child->id(), 1, 500_MiB);
  suspend_options how = recorded();
  how.on_progress = [&](const suspend_progress& done) {
    if (done.done != step::locked) return;
    here.gpu().set_process(child->id(), simgpu::world::process_kind::ended);
    child.reset();
  };
  const int id = child->id();
  const error failure = error_of([&] { static_cast<void>(suspend_process(devices, id, how)); });
  EXPECT_EQ(failure.code(), status::not_found);
  EXPECT_THAT(failure.what(), HasSubstr("ended while it was being suspended"));
  EXPECT_EQ(file_count(), 0u);
}

TEST_P(SuspendProcess, OneThatEndsWhileItIsSuspendedIsForgotten) {
  std::optional<process> child(start());
  const auto done = suspend_process(devices, child->id(), recorded());
  EXPECT_EQ(file_count(), 1u);
  here.gpu().set_process(child->id(), simgpu::world::process_kind::ended);
  child.reset();
  EXPECT_EQ(error_of([&] { resume_processes(devices, done); }).code(), status::not_found);
  EXPECT_EQ(file_count(), 0u);
}

TEST_P(SuspendProcess, ATreeIsSuspendedAsAWhole) {
  std::optional<process> top;
  const std::vector<int> ids = start_tree(top);
  here.gpu().set_process(ids[0], simgpu::world::process_kind::without_gpu);
  here.gpu().set_process_bytes(ids[1], 0, 100_MiB);
  here.gpu().set_process_bytes(ids[2], 1, 200_MiB);
  std::vector<std::pair<step, int>> steps;
  suspend_options how = recorded();
  how.tree = true;
  how.on_progress = [&](const suspend_progress& one) { steps.emplace_back(one.done, one.id); };
  const auto done = suspend_process(devices, ids[0], how);
  EXPECT_EQ(steps, (std::vector<std::pair<step, int>>{{step::locked, ids[1]},
                                                      {step::locked, ids[2]},
                                                      {step::saved, ids[1]},
                                                      {step::saved, ids[2]}}));
  const auto found = find_suspended(devices, ids[0], true, files.path());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_TRUE(found[0].recorded);
  resume_processes(devices, found);
  EXPECT_EQ(here.gpu().observe(0).used_bytes + here.gpu().observe(1).used_bytes, 300_MiB);
  EXPECT_EQ(file_count(), 0u);
}

TEST_P(SuspendProcess, OfATreeAllOrNone) {
  std::optional<process> top;
  const std::vector<int> ids = start_tree(top);
  for (const int id : ids) here.gpu().set_process_bytes(id, 0, 100_MiB);
  suspend_options how = recorded();
  how.tree = true;
  for (const char* call : {"cuCheckpointProcessLock", "cuCheckpointProcessCheckpoint"}) {
    for (std::uint64_t n = 1; n <= ids.size(); ++n) {
      here.gpu().script.fail(call, n, 999);
      EXPECT_THROW(static_cast<void>(suspend_process(devices, ids[0], how)), error);
      here.gpu().script.clear();
      for (const int id : ids) EXPECT_EQ(here.gpu().process_state(id), running) << call << n;
      EXPECT_EQ(here.gpu().observe(0).used_bytes, 300_MiB) << call << n;
      EXPECT_EQ(file_count(), 0u) << call << n;
    }
  }
  const auto done = suspend_process(devices, ids[0], how);
  EXPECT_EQ(done.size(), 3u);
  // Together they do not fit, so none is touched.
  here.gpu().set_foreign_bytes(0, here.gpu().made().total_bytes - 500_MiB);
  EXPECT_EQ(error_of([&] { resume_processes(devices, done); }).code(),
            status::out_of_device_memory);
  for (const int id : ids) EXPECT_EQ(here.gpu().process_state(id), suspended);
  here.gpu().set_foreign_bytes(0, 0);
  resume_processes(devices, done);
}

TEST_P(SuspendProcess, ACancelledOneIsTakenBack) {
  process child = start();
  suspend_options how;
  std::stop_source stop;
  stop.request_stop();
  how.stop = stop.get_token();
  EXPECT_EQ(error_of([&] { static_cast<void>(suspend_process(devices, child.id(), how)); }).code(),
            status::cancelled);
  EXPECT_EQ(here.gpu().process_state(child.id()), running);
}

TEST_P(SuspendProcess, AChildIsSuspendedByItsParent) {
  process child = start();
  here.gpu().set_process_bytes(child.id(), 0, 100_MiB);
  EXPECT_EQ(error_of([&] { child.resume(); }).code(), status::not_found);
  EXPECT_EQ(child.suspend().front().device_bytes(), 100_MiB);
  EXPECT_EQ(error_of([&] { child.suspend(); }).code(), status::busy);
  child.resume();
  EXPECT_EQ(here.gpu().process_state(child.id()), running);
  here.gpu().set_process(child.id(), simgpu::world::process_kind::ended);
  child.stop();
  EXPECT_EQ(error_of([&] { child.suspend(); }).code(), status::not_found);
}

TEST_P(SuspendProcess, FilesThatAreNoneAreLeftAlone) {
  std::ofstream(files.path() / "lull-7-8.suspended") << "lull-suspended 1\nprocess 7\n";
  EXPECT_TRUE(find_suspended(devices, files.path()).empty());
  EXPECT_EQ(file_count(), 1u);
  EXPECT_TRUE(find_suspended(devices, files.path() / "nowhere").empty());
}

TEST_P(SuspendProcess, FromCToo) {
  // The registry is the C API's own, over the same simulated machine.
  lull_registry_options where;
  lull_registry_options_init(&where);
  const std::string module = LULL_TEST_BACKENDS "/liblull-backend-" + GetParam().name + ".so";
  const char* const paths[] = {module.c_str()};
  where.module_paths = paths;
  where.module_path_count = 1;
  lull_registry* all = nullptr;
  ASSERT_EQ(lull_registry_create(&where, &all), LULL_OK) << lull_last_error_message();
  lull_device* which = nullptr;
  ASSERT_EQ(lull_registry_find(all, GetParam().device.c_str(), &which), LULL_OK);

  process child = start();
  here.gpu().set_process_bytes(child.id(), 0, 500_MiB);
  lull_suspend_options how;
  lull_suspend_options_init(&how);
  how.directory = files.path().c_str();
  int steps = 0;
  how.on_progress = [](void* user, lull_suspend_step, int32_t, uint64_t, int64_t) {
    ++*static_cast<int*>(user);
  };
  how.on_progress_user = &steps;
  std::size_t count = 0;
  ASSERT_EQ(lull_pid_suspend(&which, 1, child.id(), &how, &count), LULL_OK)
      << lull_last_error_message();
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(steps, 2);
  EXPECT_EQ(lull_pid_suspend(&which, 1, child.id(), nullptr, nullptr), LULL_ERROR_BUSY);

  lull_suspended_process one{};
  ASSERT_EQ(lull_suspended_list(&which, 1, how.directory, &one, 1, &count), LULL_OK);
  ASSERT_EQ(count, 1u);
  EXPECT_EQ(one.pid, child.id());
  EXPECT_EQ(one.device_bytes, 500_MiB);
  EXPECT_EQ(one.by_pid, ::getpid());
  EXPECT_EQ(one.state, LULL_GPU_STATE_SUSPENDED);
  EXPECT_GT(one.since_unix_ns, 0);

  lull_resume_options back;
  lull_resume_options_init(&back);
  back.directory = how.directory;
  here.gpu().set_foreign_bytes(0, here.gpu().made().total_bytes);
  EXPECT_EQ(lull_pid_resume(&which, 1, child.id(), &back), LULL_ERROR_OUT_OF_DEVICE_MEMORY);
  here.gpu().set_foreign_bytes(0, 0);
  EXPECT_EQ(lull_pid_resume(&which, 1, child.id(), &back), LULL_OK) << lull_last_error_message();
  EXPECT_EQ(lull_pid_resume(&which, 1, child.id(), &back), LULL_ERROR_NOT_FOUND);
  lull_device_destroy(which);
  lull_registry_destroy(all);
}

INSTANTIATE_TEST_SUITE_P(Modules, SuspendProcess, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
