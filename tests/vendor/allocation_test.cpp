// Each allocation that the library and a vendor's module make for an operation fails once; those of
// the vendor's libraries do not. Nothing is lost, and nothing stands in the way of another attempt.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <optional>
#include <string>

#include "simgpu/inside.hpp"
#include "support/failing_allocations.hpp"
#include "vendor/operations.hpp"

namespace lull::test {
namespace {

class AllocationSweep : public Vendor {
 protected:
  AllocationSweep() {
    exempt_allocations(&simgpu::is_inside);
    // Hundreds of machines are made, and the files of AMD's driver with each.
    if (std::filesystem::is_directory("/dev/shm")) ::setenv("TMPDIR", "/dev/shm", 1);
  }
  ~AllocationSweep() override { exempt_allocations(nullptr); }

  struct outcome {
    bool was_reached = false;
    bool threw = false;
  };

  /// Runs `work` with the n-th allocation from now on failing, of whichever thread.
  template <class Work>
  static outcome with_failing(std::uint64_t n, Work&& work) {
    outcome seen;
    fail_allocation(n);
    try {
      work();
    } catch (const error&) {
      seen.threw = true;
    } catch (const std::bad_alloc&) {
      seen.threw = true;
    }
    seen.was_reached = allocation_has_failed();
    fail_allocation(0);
    return seen;
  }

  /// @return whether there was an n-th allocation
  static bool fail_in(const operation& what, std::uint64_t n) {
    bench b(GetParam());
    what.prepare(b);
    const simgpu::books before = b.here.gpu().take_stock();
    const outcome seen = with_failing(n, [&] { what.run(b); });
    b.arena.arena().trim();
    if (seen.threw) {
      EXPECT_EQ(b.here.gpu().take_stock(), before)
          << to_string(b.here.gpu().take_stock()) << "\ninstead of " << to_string(before);
      what.run(b);
    }
    what.finish(b);
    if (what.name != "dev_reset") expect_nothing_left(b);
    return seen.was_reached;
  }
};

TEST_P(AllocationSweep, OfEveryOperation) {
  std::uint64_t all = 0;
  for (const operation& what : all_operations()) {
    SCOPED_TRACE(what.name);
    // Beyond the first hundred they are nearly all of looks at memory, over and over.
    for (std::uint64_t n = 1;; n += n < 100 ? 1 : 5, ++all) {
      SCOPED_TRACE(n);
      ASSERT_LT(n, 2000u);
      if (!fail_in(what, n)) break;
      if (HasFailure()) return;
    }
  }
  std::printf("%d allocations were made to fail\n", static_cast<int>(all));
  EXPECT_GT(all, 100u);
}

// A module that could not be opened is refused with a reason, and can be opened afterwards.
TEST_P(AllocationSweep, OfOpening) {
  std::string path;
  {
    machine here(GetParam());
    path = here.registry().modules().back().path;
  }
  simgpu::world& gpu = simgpu::world::of(GetParam().which);
  registry_options options;
  options.search = false;
  options.module_paths = {path};
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    ASSERT_LT(n, 2000u);
    gpu.restart({});
    std::optional<registry> opened;
    const outcome seen = with_failing(n, [&] { opened.emplace(options); });
    EXPECT_EQ(opened.has_value(), !seen.threw);
    if (opened) {
      const module_info info = opened->modules().back();
      if (info.path == path && info.state != module_state::active) {
        EXPECT_THAT(info.reason, testing::HasSubstr("memory"));
        EXPECT_EQ(opened->load(path).state, module_state::active);
      }
      opened.reset();
    }
    EXPECT_EQ(gpu.take_stock(), simgpu::books{});
    EXPECT_EQ(gpu.contexts_created(), 0);
    if (!seen.was_reached) break;
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Modules, AllocationSweep, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
