// Regions on devices whose reset loses addresses: those that must not move keep it from happening,
// the others come back with their contents wherever there is room for them.

#include <lull/lull.h>

#include <sys/mman.h>

#include <cerrno>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/expect_error.hpp"
#include "vendor/transfer_fixture.hpp"

namespace lull::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* setting = "addresses_outlive_reset";

/// Something else, where a region was.
class squatter {
 public:
  squatter(void* address, std::uint64_t bytes)
      : bytes_(bytes),
        pages_(::mmap(address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                      -1, 0)) {
    // A library of the process may have taken it in the meantime, which is as good.
    EXPECT_TRUE(pages_ == address || (pages_ == MAP_FAILED && errno == EEXIST)) << errno;
  }
  ~squatter() {
    if (pages_ != MAP_FAILED) ::munmap(pages_, bytes_);
  }
  squatter(const squatter&) = delete;
  squatter& operator=(const squatter&) = delete;

 private:
  std::uint64_t bytes_;
  void* pages_;
};

simgpu::scenario forgetful() {
  simgpu::scenario made;
  made.reset_keeps_addresses = false;
  return made;
}

class MovedRegion : public Transfer {
 protected:
  /// Contents to host memory, and the context reset.
  static sleep_plan offload_and_reset() {
    sleep_plan plan = plan_for(sleep_level::reset);
    plan.name = "reset with contents";
    plan.contents.otherwise = contents_action::offload;
    return plan;
  }
  static std::vector<region_move> moves_in(const transition_report& report) {
    std::vector<region_move> all;
    for (const device_report& each : report.devices) {
      all.insert(all.end(), each.moved.begin(), each.moved.end());
    }
    return all;
  }
  std::vector<region_move> moves_of_wake() {
    sleeping().wake();
    return moves_in(*sleeping().observe().last);
  }
  region make(const char* name, std::uint64_t bytes, unsigned seed, bool may_move = true) {
    region made =
        memory_.allocate(which_, bytes, {.name = name, .checksum = true, .may_move = may_move});
    fill(made, seed);
    return made;
  }
  sleeper& sleeping() {
    if (!sleeper_) {
      sleeper_options options;
      options.reset.settle_timeout = duration::zero();
      options.suspend.host_margin_bytes = 0;
      options.suspend.free_bytes = [this] {
        return std::map<std::string, std::uint64_t>{{which_.name(), std::uint64_t{1} << 40}};
      };
      sleeper_.emplace(options);
      sleeper_->manage(memory_);
    }
    return *sleeper_;
  }

  machine here_{GetParam(), forgetful(), {{GetParam().name, setting, "0"}}};
  device which_ = here_.device();
  memory memory_;
  std::optional<sleeper> sleeper_;
};

TEST_P(MovedRegion, ThatMustNotMoveKeepsItsContextAndNothingIsTouched) {
  EXPECT_FALSE(which_.supports(capability::addresses_outlive_reset));
  const region movable = make("m", 2_MiB, 1);
  const region fixed = make("f", 4_MiB, 2, false);
  int hooks = 0;
  const reset_hook hook(which_, "cache", [&](const reset_event&) { ++hooks; }, {});
  const auto must_not_move = AllOf(HasSubstr(which_.name()), HasSubstr("one range of 4 MiB"),
                                   HasSubstr("region_options::may_move"), HasSubstr(setting));
  const error refused = error_of([&] { sleeping().sleep(offload_and_reset()); });
  EXPECT_EQ(refused.code(), status::unsupported);
  EXPECT_THAT(refused.what(), AllOf(must_not_move, HasSubstr("the nearest that would do is")));
  EXPECT_EQ(sleeping().observe().state, sleep_state::awake);
  EXPECT_THAT(sleeping().observe().last->steps, IsEmpty()) << "nothing was moved to find out";

  reset_options dropping;
  dropping.drop = true;
  const error bare = error_of([&] { dev_reset(which_, dropping); });
  EXPECT_EQ(bare.code(), status::unsupported);
  EXPECT_THAT(bare.what(), must_not_move);
  EXPECT_EQ(hooks, 0);
  EXPECT_TRUE(holds(movable, 1));
  EXPECT_TRUE(holds(fixed, 2));
}

TEST_P(MovedRegion, ThatMustNotMoveMakesAPlanFallBack) {
  const region fixed = make("f", 2_MiB, 1, false);
  sleep_plan plan = offload_and_reset();
  plan.fallback = true;
  const transition_report slept = sleeping().sleep(plan);
  EXPECT_EQ(slept.fell_back_from, plan.name);
  EXPECT_NE(which_.context_alive(), tristate::no);
  sleeping().wake();
  EXPECT_TRUE(holds(fixed, 1));
}

TEST_P(MovedRegion, ThatMustNotMoveDoesNotSleepDeeper) {
  const region fixed = make("f", 2_MiB, 1, false);
  sleeping().sleep(plan_for(sleep_level::offload));
  const error refused = error_of([&] { sleeping().deepen(offload_and_reset()); });
  EXPECT_EQ(refused.code(), status::unsupported);
  EXPECT_EQ(sleeping().observe().plan, "offload");
  EXPECT_EQ(fixed.state(), residency::offloaded);
  sleeping().wake();
  EXPECT_TRUE(holds(fixed, 1));
}

TEST_P(MovedRegion, ARangeOfTheCallersOwnIsNoDifferent) {
  which_.context_create();
  const std::uint64_t bytes = which_.vm_granularity();
  void* const fixed = which_.vm_reserve(bytes);
  EXPECT_EQ(error_of([&] { dev_reset(which_); }).code(), status::unsupported);
  which_.vm_release(fixed, bytes);
  void* const movable = which_.vm_reserve(bytes, {.may_move = true});
  EXPECT_TRUE(dev_reset(which_).was_reset);
  EXPECT_EQ(error_of([&] { which_.vm_release(movable, bytes); }).code(), status::stale);
}

TEST_P(MovedRegion, ComesBackToItsAddressWhereThatIsFree) {
  const std::vector<std::uint64_t> all_sizes = sizes();
  std::vector<region> all;
  std::vector<void*> addresses;
  for (const std::uint64_t bytes : all_sizes) {
    all.push_back(make("w", bytes, static_cast<unsigned>(all.size() + 1)));
    addresses.push_back(all.back().address());
  }
  for (const bool at_once : {true, false}) {
    if (at_once) {
      sleeping().sleep(offload_and_reset());
    } else {
      sleeping().sleep(plan_for(sleep_level::offload));
      sleeping().deepen(offload_and_reset());
    }
    const simgpu::books asleep = here_.gpu().take_stock();
    EXPECT_EQ(asleep.used_bytes + static_cast<std::uint64_t>(asleep.contexts), 0u);
    EXPECT_EQ(asleep.reservations, 0) << "nothing is left for the reset to lose";
    EXPECT_THAT(moves_of_wake(), IsEmpty());
    for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i].address(), addresses[i]);
    expect_contents(all);
  }
  all.clear();
  EXPECT_EQ(here_.gpu().take_stock().reservations, 0);
}

TEST_P(MovedRegion, HasItsContentsElsewhereAndTheReportSaysWhere) {
  const region large = make("large", 5_MiB - 3, 1);
  const region small = make("small", 777, 2);
  const region beside = make("beside", 3_KiB, 3);
  void* const large_was = large.address();
  void* const small_was = small.address();
  void* const beside_was = beside.address();
  const auto between = static_cast<std::byte*>(beside_was) - static_cast<std::byte*>(small_was);
  sleeping().sleep(offload_and_reset());
  std::vector<region_move> moved;
  {
    const squatter one(large_was, 6_MiB);
    const squatter other(small_was, 2_MiB);
    moved = moves_of_wake();
  }
  ASSERT_THAT(moved, SizeIs(3));
  const region* const order[] = {&large, &small, &beside};
  void* const was[] = {large_was, small_was, beside_was};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(moved[i].region, order[i]->name());
    EXPECT_EQ(moved[i].from, was[i]);
    EXPECT_EQ(moved[i].to, order[i]->address());
    EXPECT_NE(moved[i].to, was[i]);
    EXPECT_EQ(moved[i].size_bytes, order[i]->size_bytes());
    EXPECT_EQ(order[i]->info().address, order[i]->address());
    EXPECT_TRUE(holds(*order[i], static_cast<unsigned>(i + 1)));
  }
  EXPECT_EQ(static_cast<std::byte*>(beside.address()) - static_cast<std::byte*>(small.address()),
            between)
      << "those that share memory move together";
  // From there it does not move without need.
  sleeping().sleep(offload_and_reset());
  EXPECT_THAT(moves_of_wake(), IsEmpty());
  EXPECT_TRUE(holds(large, 1));
}

TEST_P(MovedRegion, IsRefilledWhereItIsNow) {
  void* written_at = nullptr;
  const auto write = [&](const refill_target& to) {
    written_at = to.address();
    const auto bytes = pattern(to.size_bytes(), 7);
    to.write(0, bytes.data(), bytes.size());
  };
  const region weights =
      memory_.allocate(which_, 4_MiB, {.name = "w", .refill = write, .may_move = true});
  sleeping().sleep(plan_for(sleep_level::discard));
  void* const was = weights.address();
  sleeping().deepen(plan_for(sleep_level::reset));
  const squatter there(was, 4_MiB);
  EXPECT_THAT(moves_of_wake(), SizeIs(1));
  EXPECT_NE(weights.address(), was);
  EXPECT_EQ(written_at, weights.address());
  EXPECT_TRUE(holds(weights, 7));
}

TEST_P(MovedRegion, IsReportedByASleepThatFailsAfterTheAddressesWereGivenUp) {
  const region weights = make("w", 4_MiB, 1);
  void* const was = weights.address();
  std::optional<squatter> there;
  sleeper_options options;
  options.reset.settle_timeout = duration::zero();
  options.reset.reset = [&](const device&) {
    there.emplace(was, 4_MiB);
    throw error(status::backend, "not today");
  };
  sleeper failing(options);
  failing.manage(memory_);
  EXPECT_THAT(error_of([&] { failing.sleep(offload_and_reset()); }).what(), HasSubstr("not today"));
  EXPECT_EQ(failing.observe().state, sleep_state::awake);
  const std::vector<region_move> moved = moves_in(*failing.observe().last);
  ASSERT_THAT(moved, SizeIs(1));
  EXPECT_EQ(moved[0].from, was);
  EXPECT_EQ(moved[0].to, weights.address());
  EXPECT_TRUE(holds(weights, 1));
}

TEST_P(MovedRegion, IsToldItsOldAddressUntilItIsBack) {
  const region weights = make("w", 4_MiB, 1);
  void* const was = weights.address();
  sleeping().sleep(offload_and_reset());
  const squatter there(was, 4_MiB);
  here_.gpu().set_foreign_bytes(0, here_.gpu().made().total_bytes);
  EXPECT_THROW(sleeping().wake(), error);
  EXPECT_EQ(weights.address(), was);
  EXPECT_EQ(weights.state(), residency::offloaded);
  here_.gpu().set_foreign_bytes(0, 0);
  const std::vector<region_move> moved = moves_of_wake();
  ASSERT_THAT(moved, SizeIs(1)) << "told by the wake that brought it";
  EXPECT_EQ(moved[0].from, was);
  EXPECT_EQ(moved[0].to, weights.address());
  EXPECT_TRUE(holds(weights, 1));
}

TEST_P(MovedRegion, SwapsInWhereItIsNow) {
  const region coming = memory_.allocate(which_, 4_MiB, {.tag = "in", .may_move = true});
  fill(coming, 1);
  memory_.evict(offload());
  dev_reset(which_);
  const region leaving = memory_.allocate(which_, 4_MiB, {.tag = "out", .may_move = true});
  fill(leaving, 2);
  void* const was = coming.address();
  std::optional<squatter> there;
  if (leaving.address() != was) there.emplace(was, 4_MiB);
  const transfer_report report =
      memory_.swap({.by_tag = {{"out", contents_action::offload}}}, {"in"});
  ASSERT_THAT(report.devices, SizeIs(1));
  EXPECT_THAT(report.devices[0].moved, SizeIs(1));
  EXPECT_NE(coming.address(), was);
  EXPECT_TRUE(holds(coming, 1));
  memory_.restore({"out"});
  EXPECT_TRUE(holds(leaving, 2));
}

TEST_P(MovedRegion, ThatGoesLeavesAloneWhoHasItsAddressNow) {
  std::optional<region> lost = make("lost", 4_MiB, 1);
  memory_.evict(offload());
  dev_reset(which_);
  std::vector<region> others;
  for (unsigned i = 0; i < 3; ++i) others.push_back(make("o", 4_MiB, i + 1));
  lost.reset();
  memory_.evict(offload());
  memory_.restore();
  expect_contents(others);
  EXPECT_EQ(here_.gpu().take_stock().reservations, 3);
}

TEST_P(MovedRegion, TheSettingIsANumber) {
  const vendor_case& vendor = GetParam();
  registry_options options;
  options.search = false;
  options.module_paths = {std::string(LULL_TEST_BACKENDS) + "/liblull-backend-" + vendor.name +
                          ".so"};
  options.settings = {{vendor.name, setting, "perhaps"}};
  const registry opened(options);
  ASSERT_FALSE(opened.modules().empty());
  EXPECT_THAT(opened.modules().back().reason, HasSubstr("'perhaps' is no 0 or 1"));
}

TEST_P(MovedRegion, CIsToldToo) {
  const std::string module =
      std::string(LULL_TEST_BACKENDS) + "/liblull-backend-" + GetParam().name + ".so";
  const char* const paths[] = {module.c_str()};
  const lull_setting forgets{GetParam().name.c_str(), setting, "0"};
  lull_registry_options options;
  lull_registry_options_init(&options);
  options.search = 0;
  options.settings = &forgets;
  options.setting_count = 1;
  options.module_paths = paths;
  options.module_path_count = 1;
  lull_registry* registry = nullptr;
  lull_device* device = nullptr;
  lull_memory* memory = nullptr;
  lull_region* region = nullptr;
  ASSERT_EQ(lull_registry_create(&options, &registry), LULL_OK) << lull_last_error_message();
  ASSERT_EQ(lull_registry_find(registry, GetParam().device.c_str(), &device), LULL_OK);
  ASSERT_EQ(lull_memory_create(nullptr, &memory), LULL_OK);
  lull_region_options may;
  lull_region_options_init(&may);
  EXPECT_EQ(may.may_move, 0);
  may.name = "kv";
  may.may_move = 1;
  ASSERT_EQ(lull_memory_allocate(memory, device, 4_MiB, &may, &region), LULL_OK);
  void* const was = lull_region_address(region);
  lull_eviction_plan plan{};
  plan.otherwise = LULL_CONTENTS_OFFLOAD;
  ASSERT_EQ(lull_memory_evict(memory, &plan, nullptr, nullptr), LULL_OK);
  ASSERT_EQ(lull_device_reset(device, nullptr, nullptr), LULL_OK) << lull_last_error_message();
  const squatter there(was, 4_MiB);
  lull_report* report = nullptr;
  ASSERT_EQ(lull_memory_restore(memory, nullptr, 0, nullptr, &report), LULL_OK)
      << lull_last_error_message();
  lull_report_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(lull_report_describe(report, &info), LULL_OK);
  ASSERT_EQ(info.moved_count, 1u);
  lull_moved_region moved{};
  moved.struct_size = sizeof moved;
  ASSERT_EQ(lull_report_moved(report, 0, &moved), LULL_OK);
  EXPECT_STREQ(moved.region, "kv");
  EXPECT_STREQ(moved.device, GetParam().device.c_str());
  EXPECT_EQ(moved.from, was);
  EXPECT_EQ(moved.to, lull_region_address(region));
  EXPECT_NE(moved.to, was);
  EXPECT_EQ(moved.size_bytes, 4_MiB);
  EXPECT_EQ(lull_report_moved(report, 1, &moved), LULL_ERROR_NOT_FOUND);
  lull_report_destroy(report);
  lull_region_destroy(region);
  lull_memory_destroy(memory);
  lull_device_destroy(device);
  lull_registry_destroy(registry);
}

INSTANTIATE_TEST_SUITE_P(Modules, MovedRegion, testing::ValuesIn(vendor_cases()), case_name);

/// On a machine that forgets addresses, and of which somebody has said that it does not.
class FalselyTrusted : public Transfer {
 protected:
  void TearDown() override {
    for (const std::string& each : simgpu::world::of(GetParam().which).misuse()) {
      EXPECT_EQ(each, "release of what is not reserved");
    }
  }
};

TEST_P(FalselyTrusted, IsAnErrorOfTheWakeAndLosesNothing) {
  machine here(GetParam(), forgetful(), {{GetParam().name, setting, "1"}});
  const device which = here.device();
  memory of;
  const region weights = of.allocate(which, 4_MiB);
  fill(weights, 1);
  of.evict(offload());
  EXPECT_TRUE(dev_reset(which).was_reset);
  EXPECT_EQ(error_of([&] { of.restore(); }).code(), status::backend);
  EXPECT_EQ(weights.state(), residency::offloaded);
}

INSTANTIATE_TEST_SUITE_P(Modules, FalselyTrusted, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
