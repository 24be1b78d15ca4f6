#ifndef LULL_TESTS_SUPPORT_FAULT_BACKEND_HPP
#define LULL_TESTS_SUPPORT_FAULT_BACKEND_HPP

#include <lull/backend.h>

#include <cstdint>
#include <string>

namespace lull::test {

/// The host backend under the name "fault" with one device, "FAULT0", whose n-th operation can be
/// made to fail. State is per process: one script at a time.
const lull_backend_ops& fault_ops();

/// What the device claims to be.
struct fault_device {
  bool host_accessible = true;
};
void set_fault_device(fault_device device);

/// Makes the n-th operation from now on fail (1: the next one), once; 0: none.
void fail_operation(std::uint64_t n, lull_status status = LULL_ERROR_BACKEND);
/// Makes every operation from the n-th on fail.
void fail_operations_from(std::uint64_t n, lull_status status = LULL_ERROR_BACKEND);

/// Makes the n-th operation from now on throw an int, once, which no module may.
void throw_in_operation(std::uint64_t n);

/// How many operations were called since the script was set.
std::uint64_t operations_called();
/// The name of the operation that was made to fail last; empty when none was.
std::string failed_operation();

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_FAULT_BACKEND_HPP
