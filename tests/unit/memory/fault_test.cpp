// Every operation that a transfer makes is made to fail in turn: afterwards contents and states are
// what they were, nothing is leaked, and the same transfer succeeds.

#include <lull/lull.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "support/fault_backend.hpp"

namespace {

using namespace lull::literals;
using lull::contents_action;
using lull::residency;
using lull::status;
using lull::test::error_of;

struct fault_case {
  const char* name;
  bool host_accessible;
  lull::backing_store backing;

  /// How contents leave the device and come back; none where they go straight between file and
  /// memory.
  const char* copies_out;
  const char* copies_in;
};

/// What may fail without failing the transfer: looking, giving back what it copied with, and
/// pinning, without which it is slower.
const std::set<std::string>& tolerated() {
  static const std::set<std::string> all{"memory_info", "event_destroy", "stream_destroy",
                                         "host_register", "host_unregister"};
  return all;
}

void PrintTo(const fault_case& value, std::ostream* out) {
  *out << value.name;
}

class MemoryFaults : public testing::TestWithParam<fault_case> {
 protected:
  MemoryFaults() {
    lull::test::fail_operation(0);
    lull::test::set_fault_device({GetParam().host_accessible});
    EXPECT_EQ(registry_.add(lull::test::fault_ops()).state, lull::module_state::active);
    device_ = registry_.find("FAULT0");
    for (int i = 0; i < 2; ++i) offloaded_.push_back(make("weights", i));
    for (int i = 2; i < 4; ++i) discarded_.push_back(make("kv", i));
  }
  ~MemoryFaults() override { lull::test::fail_operation(0); }

  lull::region make(std::string tag, int value) {
    auto region = memory_.allocate(
        *device_, 300_KiB,
        {std::move(tag), std::to_string(value), [value](const lull::refill_target& target) {
           std::memset(target.address(), value, target.size_bytes());
         }});
    region.refill([value](const auto& t) { std::memset(t.address(), value, t.size_bytes()); });
    return region;
  }

  void expect_contents() const {
    for (const auto* list : {&offloaded_, &discarded_}) {
      for (const auto& region : *list) {
        const auto lease = region.acquire();
        const auto* const bytes = static_cast<const char*>(lease.address());
        EXPECT_EQ(std::count(bytes, bytes + lease.size_bytes(), std::stoi(region.name())),
                  static_cast<std::ptrdiff_t>(lease.size_bytes()))
            << region.name();
      }
    }
  }

  std::vector<residency> states() const {
    std::vector<residency> all;
    for (const auto& info : memory_.regions()) all.push_back(info.state);
    return all;
  }

  std::uint64_t used() const { return device_->memory().used_by_process_bytes.value(); }

  void evict() {
    memory_.evict({contents_action::discard, {{"weights", contents_action::offload}}},
                  {GetParam().backing, {}, {}});
  }
  void restore() { memory_.restore(); }

  /// What happens at an operation, and what a transfer says of it.
  struct fault {
    std::function<void(std::uint64_t n)> inject;
    std::function<void(const lull::error& failure, const std::string& operation)> expect;
  };
  static fault fail_each() {
    return {[](std::uint64_t n) { lull::test::fail_operation(n); }, expect_fault};
  }
  static fault throw_in_each() {
    return {lull::test::throw_in_operation,
            [](const lull::error& failure, const std::string& operation) {
              EXPECT_EQ(failure.code(), status::backend);
              EXPECT_THAT(failure.what(), testing::HasSubstr("FAULT0: " + operation + " threw"));
            }};
  }

  /// Makes operation 1, 2, 3, ... of `transfer` fail until there is none left, then lets it
  /// succeed.
  /// @param undo takes back a transfer that succeeded all the same
  template <class Transfer, class Undo>
  std::set<std::string> sweep(Transfer transfer, Undo undo, const fault& how = fail_each()) {
    const auto states_before = states();
    const auto used_before = used();
    std::set<std::string> failed_operations;
    for (std::uint64_t n = 1;; ++n) {
      how.inject(n);
      std::optional<lull::error> failure;
      try {
        transfer();
      } catch (const lull::error& thrown) {
        failure = thrown;
      }
      const std::string operation = lull::test::failed_operation();
      lull::test::fail_operation(0);
      if (operation.empty()) {
        EXPECT_FALSE(failure);
        return failed_operations;
      }
      failed_operations.insert(operation);
      if (failure) {
        how.expect(*failure, operation);
      } else {
        EXPECT_THAT(tolerated(), testing::Contains(operation));
        undo();
      }
      EXPECT_EQ(states(), states_before) << "after a failed " << operation << ", operation " << n;
      EXPECT_EQ(used(), used_before) << "after a failed " << operation << ", operation " << n;
    }
  }

  static void expect_copies(const std::set<std::string>& failed, const std::string& how) {
    for (const char* const each :
         {"copy_to_host", "copy_to_host_async", "copy_from_host", "copy_from_host_async"}) {
      EXPECT_EQ(failed.count(each) != 0, how == each) << each;
    }
  }

  static void expect_fault(const lull::error& failure, const std::string& operation) {
    EXPECT_EQ(failure.code(), status::backend);
    EXPECT_EQ(failure.device(), "FAULT0");
    ASSERT_NE(failure.vendor(), nullptr);
    EXPECT_EQ(failure.vendor()->code, 4711);
    EXPECT_EQ(failure.vendor()->call, operation);
  }

  lull::registry registry_{[] {
    lull::registry_options options;
    options.search = false;
    return options;
  }()};
  lull::memory memory_{{.chunk_bytes = 128_KiB, .poison_unfilled = false}};
  std::optional<lull::device> device_;
  std::vector<lull::region> offloaded_;
  std::vector<lull::region> discarded_;
};

TEST_P(MemoryFaults, AFailedEvictionChangesNothing) {
  const auto failed = sweep([this] { evict(); }, [this] { restore(); });
  EXPECT_THAT(failed, testing::IsSupersetOf({"vm_unmap", "vm_destroy"}));
  expect_copies(failed, GetParam().copies_out);
  restore();
  expect_contents();
}

TEST_P(MemoryFaults, AFailedRestoreChangesNothing) {
  evict();
  const auto failed = sweep([this] { restore(); }, [this] { evict(); });
  EXPECT_THAT(failed, testing::IsSupersetOf({"vm_create", "vm_map"}));
  expect_copies(failed, GetParam().copies_in);
  expect_contents();
}

// What a module throws against the ABI must not skip a rollback.
TEST_P(MemoryFaults, AModuleThatThrowsChangesNothing) {
  sweep([this] { evict(); }, [this] { restore(); }, throw_in_each());
  const auto failed = sweep([this] { restore(); }, [this] { evict(); }, throw_in_each());
  EXPECT_THAT(failed, testing::IsSupersetOf({"vm_create", "vm_map"}));
  expect_contents();
}

TEST_P(MemoryFaults, AFailedAllocationLeaksNothing) {
  const auto used_before = used();
  bool allocated = false;
  for (std::uint64_t n = 1; !allocated; ++n) {
    lull::test::fail_operation(n);
    try {
      const auto region = memory_.allocate(*device_, 1_MiB);
      allocated = true;
      lull::test::fail_operation(0);
    } catch (const lull::error& failure) {
      expect_fault(failure, lull::test::failed_operation());
    }
    lull::test::fail_operation(0);
    EXPECT_EQ(memory_.regions().size(), 4u);
    EXPECT_EQ(used(), used_before);
  }
}

// The rollback fails as well: nothing is lost all the same, and the next restore repairs it.
TEST_P(MemoryFaults, ContentsSurviveARollbackThatFailsToo) {
  evict();  // the first one pins memory, which later ones find pinned
  restore();
  lull::test::fail_operation(0);
  evict();
  const std::uint64_t operations = lull::test::operations_called();
  ASSERT_GT(operations, 0u);
  restore();
  for (std::uint64_t n = 1; n <= operations; ++n) {
    lull::test::fail_operations_from(n);
    bool failed = false;
    try {
      evict();
    } catch (const lull::error&) {
      failed = true;
    }
    EXPECT_NE(lull::test::failed_operation(), "") << "no fault at operation " << n;
    // The last thing is to measure, and a transfer does not fail for a missing figure.
    EXPECT_EQ(failed, n != operations) << "operation " << n << " of " << operations;
    lull::test::fail_operation(0);
    restore();
    expect_contents();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Paths, MemoryFaults,
    testing::Values(fault_case{"direct_to_memory", true, lull::backing_store::host_memory(),
                               "copy_to_host", "copy_from_host"},
                    fault_case{"direct_to_file", true,
                               lull::backing_store::file(std::filesystem::temp_directory_path()),
                               "", ""},
                    fault_case{"pinned_to_memory", false, lull::backing_store::host_memory(),
                               "copy_to_host_async", "copy_from_host_async"},
                    fault_case{"staged_to_memfd", false, lull::backing_store::memfd(),
                               "copy_to_host_async", "copy_from_host_async"}),
    [](const auto& instance) { return std::string(instance.param.name); });

// Beyond this limit the kernel sends a signal that ends the process, if nobody handles it.
TEST(FileSizeLimit, IsSeenBeforeTheKernelSeesIt) {
  lull::registry_options built_in;
  built_in.search = false;
  const lull::registry all(built_in);
  lull::memory memory;
  const auto region = memory.allocate(all.find("HOST"), 4_MiB);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{1_MiB, before.rlim_max};
  for (const auto& store : {lull::backing_store::memfd(), lull::backing_store::file("/tmp")}) {
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    const auto failure =
        error_of([&] { memory.evict({contents_action::offload}, {.backing = store}); });
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_EQ(failure.code(), status::out_of_host_memory);
    EXPECT_EQ(region.state(), residency::resident);
  }
}

}  // namespace
