#include "support/scarcity.hpp"

#include <lull/error.hpp>

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "support/few_descriptors.hpp"
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LULL_TEST_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LULL_TEST_SANITIZED
#endif
#endif

namespace {

/// Count down to the one that fails; below 0: none does.
std::atomic<std::int64_t> allocations_left{-1};
std::atomic<std::int64_t> threads_left{-1};
std::atomic<bool> failed{false};

bool is_due(std::atomic<std::int64_t>& left) noexcept {
  const bool due = left.load(std::memory_order_relaxed) >= 0 &&
                   left.fetch_sub(1, std::memory_order_relaxed) == 0;
  if (due) failed = true;
  return due;
}

void* allocate(std::size_t bytes) {
  if (is_due(allocations_left)) throw std::bad_alloc();
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

#ifndef LULL_TEST_SANITIZED
/// In front of the C library's, which std::thread calls.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*start)(void*), void* argument) noexcept {
  if (is_due(threads_left)) return EAGAIN;
  static const auto real =
      reinterpret_cast<decltype(&pthread_create)>(::dlsym(RTLD_NEXT, "pthread_create"));
  return real(thread, attributes, start, argument);
}
#endif

namespace lull::test {
namespace {

/// @return what it threw
std::optional<std::string> attempt(const std::function<void()>& operation) {
  try {
    operation();
    allocations_left = threads_left = -1;
    return std::nullopt;
  } catch (const lull::error& failure) {
    allocations_left = threads_left = -1;
    return failure.what();
  } catch (const std::bad_alloc&) {
    allocations_left = threads_left = -1;
    return "out of memory";
  }
}

void fail_each_descriptor(const std::function<void()>& operation,
                          const std::function<void(bool)>& check) {
  constexpr std::size_t enough = 24;
  std::optional<std::string> thrown;
  for (std::size_t n = 0; n < enough; ++n) {
    SCOPED_TRACE("with " + std::to_string(n) + " descriptors");
    {
      const few_descriptors now(n);
      failed = true;
      thrown = attempt(operation);
    }
    check(thrown.has_value());
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_EQ(thrown, std::nullopt) << "it never gets as many as it needs";
}

}  // namespace

void fail_each(resource what, const std::function<void()>& operation,
               const std::function<void(bool operation_failed)>& check) {
#ifdef LULL_TEST_SANITIZED
  if (what == resource::thread) return;
#endif
  if (what == resource::descriptor) return fail_each_descriptor(operation, check);
  auto& left = what == resource::allocation ? allocations_left : threads_left;
  for (std::int64_t n = 0;; ++n) {
    SCOPED_TRACE((what == resource::allocation ? "allocation " : "thread ") + std::to_string(n));
    failed = false;
    left = n;
    const std::optional<std::string> thrown = attempt(operation);
    const bool was_reached = failed;
    if (!was_reached) {
      EXPECT_EQ(thrown, std::nullopt) << "it fails with all there is";
    }
    check(thrown.has_value());
    if (!was_reached || testing::Test::HasFailure()) return;
    ASSERT_LT(n, 5000);
  }
}

bool one_has_failed() noexcept {
  return failed;
}

}  // namespace lull::test
