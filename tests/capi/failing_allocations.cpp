#include "capi/failing_allocations.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

/// The number of the allocation of this thread that fails; 0: none.
thread_local std::uint64_t fails_at = 0;
thread_local std::uint64_t allocations = 0;

void* allocate(std::size_t bytes) {
  if (fails_at != 0 && ++allocations == fails_at) throw std::bad_alloc();
  if (void* const memory = std::malloc(bytes != 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) {
  return allocate(bytes);
}
void* operator new[](std::size_t bytes) {
  return allocate(bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

bool lull::test::with_failure_at(std::uint64_t n, const std::function<void()>& work) {
  allocations = 0;
  fails_at = n;
  work();
  fails_at = 0;
  return n != 0 && allocations >= n;
}
