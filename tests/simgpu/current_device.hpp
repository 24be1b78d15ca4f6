#ifndef LULL_TESTS_SIMGPU_CURRENT_DEVICE_HPP
#define LULL_TESTS_SIMGPU_CURRENT_DEVICE_HPP

#include <vector>

#include "simgpu/world.hpp"

namespace simgpu {

/// What one thread has made current: the runtime's device, and the driver's stack of contexts.
struct thread_state {
  int device = 0;
  std::vector<int> stack;  ///< the device of each context that was pushed
  int last_error = 0;

  /// The device that a call of the driver is about.
  [[nodiscard]] int current() const { return stack.empty() ? device : stack.back(); }
};

thread_state& this_thread(vendor which);

}  // namespace simgpu

#endif  // LULL_TESTS_SIMGPU_CURRENT_DEVICE_HPP
