#include "simgpu/inside.hpp"

namespace simgpu {
namespace {

thread_local int depth = 0;

}  // namespace

bool is_inside() noexcept {
  return depth != 0;
}

inside::inside() noexcept {
  ++depth;
}

inside::~inside() {
  --depth;
}

}  // namespace simgpu
