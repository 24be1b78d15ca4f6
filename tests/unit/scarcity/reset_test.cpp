// Whatever a reset needs of the system fails once. A reset that took the context away succeeds,
// counts a generation and tells everybody; one that fails has taken nothing away.

#include <lull/backend.hpp>
#include <lull/lull.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/host.hpp"
#include "support/hurrying_clock.hpp"
#include "support/scarcity.hpp"

namespace lull::test {
namespace {

using namespace lull::literals;

std::uint64_t resets = 0;

/// The host backend as two devices with a context that can be reset.
const lull_backend_ops& resettable_ops() {
  static const lull_context_ops context = [] {
    lull_context_ops ops{};
    ops.struct_size = sizeof ops;
    ops.version = LULL_CONTEXT_OPS_VERSION;
    ops.context_create = [](auto*, auto, auto*) { return LULL_OK; };
    ops.context_alive = [](auto*, auto, lull_tristate* alive, auto*) {
      *alive = LULL_TRISTATE_YES;
      return LULL_OK;
    };
    ops.synchronize = [](auto*, auto, auto*) { return LULL_OK; };
    return ops;
  }();
  static const lull_reset_ops reset = [] {
    lull_reset_ops ops{};
    ops.struct_size = sizeof ops;
    ops.version = LULL_RESET_OPS_VERSION;
    ops.reset = [](auto*, auto, auto*) {
      ++resets;
      return LULL_OK;
    };
    return ops;
  }();
  static const lull_backend_ops all = [] {
    lull_backend_ops ops = backends::host_ops();
    ops.name = "resettable";
    ops.context = &context;
    ops.reset = &reset;
    ops.device_describe = [](lull_backend* backend, std::uint32_t index, lull_backend_device* out,
                             lull_backend_error* error) {
      const lull_status code = backends::host_ops().device_describe(backend, index, out, error);
      backends::copy_text(out->name, "RESETTABLE_DEVICE_0");  // longer than a small string
      out->type = LULL_DEVICE_GPU;
      return code;
    };
    return ops;
  }();
  return all;
}

class ResetScarcity : public testing::TestWithParam<resource> {
 protected:
  ResetScarcity() {
    EXPECT_EQ(registry_.add(resettable_ops()).state, module_state::active);
    device_ = registry_.find("RESETTABLE_DEVICE_0");
    resets = 0;
  }

  static registry_options built_in_only() {
    registry_options options;
    options.search = false;
    return options;
  }

  [[nodiscard]] reset_options options(bool drop = false) const {
    reset_options how;
    how.drop = drop;
    if (drop) how.settle_timeout = duration::zero();  // what is dropped does not come back here
    how.clock = &time_;
    return how;
  }

  hurrying_clock time_;
  lull::registry registry_{built_in_only()};
  std::optional<device> device_;
};

TEST_P(ResetScarcity, OfAReset) {
  int before = 0;
  int after = 0;
  bool was_told = false;
  const reset_hook hook(
      *device_, "a hook with a long name", [&](const reset_event&) { ++before; },
      [&](const reset_event& event) {
        ++after;
        was_told = event.was_reset;
      });
  std::uint64_t generation = device_->generation();
  std::uint64_t done = 0;
  bool said = false;
  fail_each(
      GetParam(),
      [&] {
        said = false;
        said = dev_reset(*device_, options()).was_reset;
      },
      [&](bool reset_failed) {
        EXPECT_EQ(said, !reset_failed);
        const bool was_reset = resets != done;
        EXPECT_EQ(was_reset, !reset_failed) << "it failed, and the context is gone";
        EXPECT_EQ(device_->generation() - generation, resets - done);
        EXPECT_EQ(before, after) << "who is told before is told after";
        if (before != 0) {
          EXPECT_EQ(was_told, was_reset);
        }
        generation = device_->generation();
        done = resets;
        EXPECT_TRUE(dev_reset(*device_, options()).was_reset);
        generation = device_->generation();
        done = resets;
        before = after = 0;
      });
}

TEST_P(ResetScarcity, OfAResetThatDrops) {
  memory regions;
  struct content {
    std::optional<region> weights;
    void* allocated = nullptr;
    stream_handle stream;
  } held;
  const auto make = [&] {
    held.weights = regions.allocate(*device_, 3_MiB, {.tag = "weights", .may_move = true});
    held.allocated = device_->allocate(1_MiB);
    held.stream = device_->stream_create();
  };
  const auto is_stale = [&](auto&& use) {
    try {
      use();
      return false;
    } catch (const error& failure) {
      EXPECT_EQ(failure.code(), status::stale) << failure.what();
      return true;
    }
  };
  make();
  std::uint64_t done = 0;
  fail_each(
      GetParam(), [&] { dev_reset(*device_, options(true)); },
      [&](bool reset_failed) {
        const bool was_reset = resets != done;
        EXPECT_EQ(was_reset, !reset_failed);
        const bool gone = is_stale([&] { device_->stream_synchronize(held.stream); });
        EXPECT_EQ(gone, was_reset) << "what is dropped goes with the context";
        // The region may have been given up by then, but is never half there.
        EXPECT_NE(held.weights->state(), residency::unfilled);
        if (was_reset) {
          EXPECT_EQ(held.weights->state(), residency::discarded);
        }
        if (!was_reset) {
          device_->stream_destroy(held.stream);
          device_->deallocate(held.allocated, 1_MiB);
        }
        held = {};
        EXPECT_TRUE(dev_reset(*device_, options()).was_reset) << "nothing is in its way";
        done = resets;
        make();
        done = resets;
      });
  device_->stream_destroy(held.stream);
  device_->deallocate(held.allocated, 1_MiB);
}

TEST_P(ResetScarcity, OfAllAtOnce) {
  const std::vector<device> devices(3, *device_);
  std::uint64_t done = 0;
  fail_each(
      GetParam(),
      [&] {
        std::uint64_t successes = 0;
        for (const reset_result& each : dev_reset_all(devices, options())) {
          successes += each.failure ? 0 : 1;
          EXPECT_EQ(each.report.was_reset, !each.failure);
        }
        EXPECT_EQ(successes, resets - done);
      },
      [&](bool reset_failed) {
        EXPECT_TRUE(!reset_failed || resets == done) << "some are reset, and nobody says which";
        done = resets;
      });
}

TEST_P(ResetScarcity, OfContextLocals) {
  int made = 0;
  context_local<int> local(*device_, "a handle with a long name",
                           [&](const device&) { return std::make_unique<int>(++made); });
  fail_each(
      GetParam(),
      [&] {
        static_cast<void>(local.get());
        dev_reset(*device_, options());
        static_cast<void>(local.get());
      },
      [&](bool) {
        EXPECT_EQ(*local.get(), made);
        dev_reset(*device_, options());
        EXPECT_EQ(*local.get(), made) << "made anew";
      });
}

INSTANTIATE_TEST_SUITE_P(Each, ResetScarcity,
                         testing::Values(resource::allocation, resource::thread), name_of);

}  // namespace
}  // namespace lull::test
