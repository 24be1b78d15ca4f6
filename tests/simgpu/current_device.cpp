#include "simgpu/current_device.hpp"

#include <array>

namespace simgpu {

thread_state& this_thread(vendor which) {
  thread_local std::array<thread_state, 3> states;
  return states[static_cast<std::size_t>(which)];
}

}  // namespace simgpu
