#include "support/failing_allocations.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

/// The number of the allocation of this thread that fails; 0: none.
thread_local std::uint64_t fails_at = 0;
thread_local std::uint64_t made_here = 0;

/// Count down to the one that fails, of all threads; 0: none does.
std::atomic<std::uint64_t> left{0};
std::atomic<bool> has_failed{false};
std::atomic<bool (*)()> is_exempt{nullptr};

bool is_due() noexcept {
  if (++made_here == fails_at) return true;
  if (left.load(std::memory_order_relaxed) == 0) return false;
  std::uint64_t now = left.load(std::memory_order_relaxed);
  while (now != 0 && !left.compare_exchange_weak(now, now - 1, std::memory_order_relaxed)) {
  }
  if (now != 1) return false;
  has_failed = true;
  return true;
}

void* allocate(std::size_t bytes) {
  bool (*const exempt)() = is_exempt.load(std::memory_order_relaxed);
  if ((exempt == nullptr || !exempt()) && is_due()) throw std::bad_alloc();
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
// The C++ library's own would call those above, but a sanitizer's would not.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return allocate(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new[](std::size_t bytes, const std::nothrow_t& how) noexcept {
  return operator new(bytes, how);
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

namespace lull::test {

std::uint64_t allocations_of_this_thread() noexcept {
  return made_here;
}

bool with_failure_at(std::uint64_t n, const std::function<void()>& work) {
  const std::uint64_t before = made_here;
  fails_at = n == 0 ? 0 : before + n;
  work();
  fails_at = 0;
  return n != 0 && made_here >= before + n;
}

void fail_allocation(std::uint64_t n) noexcept {
  has_failed = false;
  left = n;
}

bool allocation_has_failed() noexcept {
  return has_failed;
}

void exempt_allocations(bool (*exempt)()) noexcept {
  is_exempt = exempt;
}

}  // namespace lull::test
