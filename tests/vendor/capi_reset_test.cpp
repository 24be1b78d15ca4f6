// Resets by the C API, on devices that have contexts.

#include <lull/lull.h>

#include <string>
#include <utility>
#include <vector>

#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StrEq;

/// A simulated machine, and a registry of C with the vendor's module.
class CReset : public Vendor {
 protected:
  CReset() {
    const std::string module =
        std::string(LULL_TEST_BACKENDS) + "/liblull-backend-" + GetParam().name + ".so";
    const char* const paths[] = {module.c_str()};
    const lull_setting sysfs{"hip", "sysfs_root", here_.sysfs().c_str()};
    lull_registry_options options;
    lull_registry_options_init(&options);
    options.search = 0;
    options.settings = &sysfs;
    options.setting_count = 1;
    options.module_paths = paths;
    options.module_path_count = 1;
    EXPECT_EQ(lull_registry_create(&options, &registry_), LULL_OK);
    std::string second = GetParam().device;
    second.back() = '1';
    EXPECT_EQ(lull_registry_find(registry_, GetParam().device.c_str(), &devices_[0]), LULL_OK);
    EXPECT_EQ(lull_registry_find(registry_, second.c_str(), &devices_[1]), LULL_OK);
    EXPECT_EQ(lull_device_generation(devices_[0], &first_generation_), LULL_OK);
  }
  ~CReset() override {
    for (lull_report* each : reports_) lull_report_destroy(each);
    for (lull_device* each : devices_) lull_device_destroy(each);
    lull_registry_destroy(registry_);
  }

  [[nodiscard]] static lull_report_info info(const lull_report* report) {
    lull_report_info seen{};
    seen.struct_size = sizeof seen;
    EXPECT_EQ(lull_report_describe(report, &seen), LULL_OK) << lull_last_error_message();
    return seen;
  }

  machine here_{GetParam()};
  lull_registry* registry_ = nullptr;
  lull_device* devices_[2] = {};
  lull_report* reports_[2] = {};
  std::uint64_t first_generation_ = 0;
};

TEST_P(CReset, ReportsWhatItDid) {
  void* address = nullptr;
  ASSERT_EQ(lull_device_allocate(devices_[0], 1_MiB, &address), LULL_OK);
  lull_reset_options options;
  lull_reset_options_init(&options);
  EXPECT_EQ(lull_device_reset(devices_[0], &options, reports_), LULL_ERROR_BUSY);
  ASSERT_NE(reports_[0], nullptr) << "how far it came";
  const lull_report_info refused = info(reports_[0]);
  EXPECT_EQ(refused.succeeded, 0);
  EXPECT_EQ(refused.was_reset, 0);
  EXPECT_EQ(refused.rolled_back, 1);
  EXPECT_THAT(refused.failure, HasSubstr("1 allocation"));
  lull_report_destroy(std::exchange(reports_[0], nullptr));
  options.drop = 1;
  ASSERT_EQ(lull_device_reset(devices_[0], &options, reports_), LULL_OK);
  const lull_report_info seen = info(reports_[0]);
  EXPECT_STREQ(seen.what, "reset");
  EXPECT_EQ(seen.succeeded, 1);
  EXPECT_EQ(seen.was_reset, 1);
  EXPECT_EQ(seen.generation, first_generation_ + 1);
  EXPECT_THAT(seen.dropped, HasSubstr("1 allocation"));
  EXPECT_EQ(seen.problem_count, 0u);
  EXPECT_STREQ(seen.failure, "");
  EXPECT_EQ(seen.step_count, 6u);
  lull_device_report device{};
  device.struct_size = sizeof device;
  ASSERT_EQ(lull_report_device(reports_[0], 0, &device), LULL_OK);
  EXPECT_EQ(device.device, GetParam().device);
  EXPECT_EQ(device.used_after_bytes, GetParam().per_process ? 0 : LULL_UNKNOWN);
}

TEST_P(CReset, OfADeviceWithoutAContextSaysSo) {
  lull_tristate alive{};
  ASSERT_EQ(lull_device_context_alive(devices_[0], LULL_PROBE_TIMEOUT, &alive), LULL_OK);
  if (alive == LULL_TRISTATE_CANNOT_TELL) GTEST_SKIP() << "in a container HIP cannot tell";
  ASSERT_EQ(lull_device_reset(devices_[0], nullptr, reports_), LULL_OK);
  const lull_report_info seen = info(reports_[0]);
  EXPECT_EQ(seen.was_reset, 0);
  EXPECT_EQ(seen.generation, first_generation_);
  EXPECT_EQ(seen.step_count, 0u);
}

TEST_P(CReset, ReportsProblemsOneByOne) {
  lull_reset_hook_options options;
  lull_reset_hook_options_init(&options);
  options.name = "cublas";
  options.after = [](void*, const lull_reset_event*) { throw std::runtime_error("no handle"); };
  lull_reset_hook* hook = nullptr;
  ASSERT_EQ(lull_reset_hook_create(devices_[0], &options, &hook), LULL_OK);
  ASSERT_EQ(lull_device_context_create(devices_[0]), LULL_OK);
  ASSERT_EQ(lull_device_reset(devices_[0], nullptr, reports_), LULL_OK);
  lull_reset_hook_destroy(hook);
  EXPECT_EQ(info(reports_[0]).problem_count, 1u);
  const char* problem = nullptr;
  ASSERT_EQ(lull_report_problem(reports_[0], 0, &problem), LULL_OK);
  EXPECT_THAT(problem, HasSubstr("no handle"));
  EXPECT_EQ(lull_report_problem(reports_[0], 1, &problem), LULL_ERROR_NOT_FOUND);
}

TEST_P(CReset, HooksAreToldAndMayRefuse) {
  std::vector<std::string> calls;
  lull_reset_hook_options options;
  lull_reset_hook_options_init(&options);
  options.user = &calls;
  options.before = [](void* user, const lull_reset_event* event) {
    static_cast<std::vector<std::string>*>(user)->push_back("before " + std::string(event->device));
    return LULL_OK;
  };
  options.check = [](void* user, const lull_reset_event*) {
    auto& seen = *static_cast<std::vector<std::string>*>(user);
    seen.emplace_back("check");
    return seen.size() > 2 ? LULL_OK : static_cast<lull_status>(4711);
  };
  options.after = [](void* user, const lull_reset_event* event) {
    static_cast<std::vector<std::string>*>(user)->push_back(event->was_reset != 0 ? "gone"
                                                                                  : "still here");
  };
  lull_reset_hook* hook = nullptr;
  ASSERT_EQ(lull_reset_hook_create(devices_[0], &options, &hook), LULL_OK);
  ASSERT_EQ(lull_device_context_create(devices_[0]), LULL_OK);
  EXPECT_NE(lull_device_reset(devices_[0], nullptr, nullptr), LULL_OK);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("4711, which is no lull_status"));
  EXPECT_EQ(lull_device_reset(devices_[0], nullptr, nullptr), LULL_OK);
  const std::string before = "before " + GetParam().device;
  EXPECT_THAT(calls, ElementsAre(before, "check", "still here", before, "check", "gone"));
  lull_reset_hook_destroy(hook);
}

TEST_P(CReset, OfSeveralDevicesReportsEachByItself) {
  void* address = nullptr;
  ASSERT_EQ(lull_device_allocate(devices_[0], 1_MiB, &address), LULL_OK);
  ASSERT_EQ(lull_device_context_create(devices_[1]), LULL_OK);
  lull_status results[2] = {LULL_OK, LULL_ERROR_INTERNAL};
  EXPECT_EQ(lull_devices_reset(devices_, 2, nullptr, results, reports_), LULL_ERROR_BUSY);
  EXPECT_THAT(results, ElementsAre(LULL_ERROR_BUSY, LULL_OK));
  EXPECT_EQ(info(reports_[0]).succeeded, 0);
  EXPECT_EQ(info(reports_[0]).was_reset, 0);
  EXPECT_THAT(info(reports_[0]).failure, HasSubstr("1 allocation"));
  EXPECT_EQ(info(reports_[1]).succeeded, 1);
  EXPECT_EQ(info(reports_[1]).was_reset, 1);
  EXPECT_EQ(lull_device_deallocate(devices_[0], address, 1_MiB), LULL_OK);
}

TEST_P(CReset, OfOnesOwnIsToldWhichDevice) {
  std::vector<std::string> names;
  lull_reset_options options;
  lull_reset_options_init(&options);
  options.reset_user = &names;
  options.reset = [](void* user, const lull_device* device) {
    lull_device_info info{};
    info.struct_size = sizeof info;
    const lull_status code = lull_device_describe(device, &info);
    static_cast<std::vector<std::string>*>(user)->emplace_back(info.name);
    return code == LULL_OK ? LULL_ERROR_UNSUPPORTED : code;
  };
  ASSERT_EQ(lull_device_context_create(devices_[1]), LULL_OK);
  EXPECT_NE(lull_device_reset(devices_[1], &options, nullptr), LULL_OK);
  EXPECT_THAT(lull_last_error_message(), HasSubstr("LULL_ERROR_UNSUPPORTED"));
  std::string second = GetParam().device;
  second.back() = '1';
  EXPECT_THAT(names, ElementsAre(second));
}

TEST_P(CReset, LevelIsSupportedWhereADeviceHasContexts) {
  int32_t supported = 0;
  ASSERT_EQ(lull_sleep_level_supported(LULL_LEVEL_RESET, devices_, 2, &supported), LULL_OK);
  EXPECT_EQ(supported, 1);
  lull_device* host = nullptr;
  ASSERT_EQ(lull_registry_find(registry_, "HOST", &host), LULL_OK);
  ASSERT_EQ(lull_sleep_level_supported(LULL_LEVEL_RESET, &host, 1, &supported), LULL_OK);
  EXPECT_EQ(supported, 0);
  lull_device_destroy(host);
}

TEST_P(CReset, QuestionsTakeATimeout) {
  ASSERT_EQ(lull_device_context_create(devices_[0]), LULL_OK);
  lull_memory_info figures{};
  figures.struct_size = sizeof figures;
  EXPECT_EQ(lull_device_memory(devices_[0], LULL_FOREVER, &figures), LULL_OK);
  EXPECT_EQ(lull_device_memory(devices_[0], -1, &figures), LULL_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(lull_last_error_message(), StrEq("timeout_ns is -1; it must not be negative"));
}

INSTANTIATE_TEST_SUITE_P(Vendors, CReset, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
