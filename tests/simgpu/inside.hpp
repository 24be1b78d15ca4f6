#ifndef LULL_TESTS_SIMGPU_INSIDE_HPP
#define LULL_TESTS_SIMGPU_INSIDE_HPP

namespace simgpu {

/// Whether this thread is in a vendor's library, which is none of ours: what it allocates there is
/// not to fail where a test has lull's allocations fail.
[[nodiscard]] bool is_inside() noexcept;

/// Marks that, while it exists.
class inside {
 public:
  inside() noexcept;
  ~inside();
  inside(const inside&) = delete;
  inside& operator=(const inside&) = delete;
};

}  // namespace simgpu

#endif  // LULL_TESTS_SIMGPU_INSIDE_HPP
