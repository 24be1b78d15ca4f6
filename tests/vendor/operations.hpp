#ifndef LULL_TESTS_VENDOR_OPERATIONS_HPP
#define LULL_TESTS_VENDOR_OPERATIONS_HPP

/// @file
/// Every operation of a device, for sweeps that let something fail in each.

#include <functional>
#include <string>
#include <vector>

#include "support/host_pages.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {

inline constexpr std::uint64_t piece = std::uint64_t{4} << 20;

/// What an operation works with; made before it, outside the faults.
struct bench {
  explicit bench(const vendor_case& vendor) : here(vendor), which(here.device(1)) {
    which.context_create();
  }

  machine here;
  device which;
  memory arena;
  std::vector<region> regions;
  std::vector<std::byte> host = std::vector<std::byte>(piece, std::byte{3});
  host_pages pages{piece};
  void* address = nullptr;
  stream_handle stream;
  event_handle event;
  std::uint64_t handle = 0;
  transfer_report report;  ///< of the last transfer that succeeded
};

/// An operation: `prepare` brings about what it needs, `run` is swept, `finish` takes back what
/// `run` made.
struct operation {
  std::string name;
  std::function<void(bench&)> prepare;
  std::function<void(bench&)> run;
  std::function<void(bench&)> finish;
};

[[nodiscard]] std::vector<operation> all_operations();

/// Nothing of the tests' own is left on the machine, nor in the arena.
void expect_nothing_left(bench& b);

}  // namespace lull::test

#endif  // LULL_TESTS_VENDOR_OPERATIONS_HPP
