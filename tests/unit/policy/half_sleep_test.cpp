// A sleep or a wake that fails, and whose taking back fails too: whoever gets a lease has all of
// the memory, whatever failed.

#include <lull/lull.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fault_backend.hpp"

namespace lull::test {
namespace {

using namespace lull::literals;

class HalfSleep : public testing::TestWithParam<sleep_level> {
 protected:
  HalfSleep() {
    fail_operation(0);
    set_fault_device({});
    EXPECT_EQ(registry_.add(fault_ops()).state, module_state::active);
    const device on = registry_.find("FAULT0");
    for (int i = 0; i < 3; ++i) {
      const auto fill = [i](const refill_target& to) {
        std::memset(to.address(), i + 1, to.size_bytes());
      };
      regions_.push_back(memory_.allocate(on, 2_MiB, {.name = std::to_string(i), .refill = fill}));
      regions_.back().refill(fill);
    }
    sleeper_.manage(memory_);
  }
  ~HalfSleep() override { fail_operation(0); }

  static registry_options built_in_only() {
    registry_options options;
    options.search = false;
    return options;
  }

  void sleep() { sleeper_.sleep(plan_for(GetParam())); }
  void wake() { sleeper_.wake(); }

  [[nodiscard]] bool all_resident() const {
    return std::all_of(regions_.begin(), regions_.end(),
                       [](const region& each) { return each.state() == residency::resident; });
  }

  /// Makes everything from the n-th operation on fail, for each n.
  void from_each_operation_on(const std::function<void()>& before,
                              const std::function<void()>& transition) {
    for (std::uint64_t n = 1;; ++n) {
      SCOPED_TRACE(n);
      before();
      fail_operations_from(n);
      std::optional<error> failure;
      try {
        transition();
      } catch (const error& thrown) {
        failure = thrown;
      }
      const bool reached = !failed_operation().empty();
      fail_operation(0);
      if (const auto lease = sleeper_.try_acquire()) {
        EXPECT_TRUE(all_resident()) << "a lease, and not all of the memory is there";
      }
      const auto lease = sleeper_.acquire();  // the next one repairs it
      ASSERT_TRUE(all_resident());
      for (std::size_t i = 0; i < regions_.size(); ++i) {
        const auto bytes = regions_[i].acquire();
        EXPECT_EQ(static_cast<const char*>(bytes.address())[1_MiB], static_cast<char>(i + 1));
      }
      if (!reached || HasFailure()) return;
    }
  }

  lull::registry registry_{built_in_only()};
  memory memory_;
  std::vector<region> regions_;
  sleeper sleeper_;
};

TEST_P(HalfSleep, GivesNoLease) {
  from_each_operation_on([] {}, [this] { sleep(); });
}

TEST_P(HalfSleep, ThatEndsInAHalfWakeGivesNoLease) {
  from_each_operation_on([this] { sleep(); }, [this] { wake(); });
}

INSTANTIATE_TEST_SUITE_P(Levels, HalfSleep,
                         testing::Values(sleep_level::offload, sleep_level::discard),
                         [](const auto& level) { return std::string(to_string(level.param)); });

}  // namespace
}  // namespace lull::test
