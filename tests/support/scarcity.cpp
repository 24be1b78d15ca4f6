#include "support/scarcity.hpp"

#include <lull/error.hpp>

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "support/failing_allocations.hpp"
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
std::atomic<std::int64_t> threads_left{-1};
std::atomic<bool> another_failed{false};  ///< another thing than an allocation

[[maybe_unused]] bool is_thread_due() noexcept {
  const bool due = threads_left.load(std::memory_order_relaxed) >= 0 &&
                   threads_left.fetch_sub(1, std::memory_order_relaxed) == 0;
  if (due) another_failed = true;
  return due;
}

}  // namespace

#ifndef LULL_TEST_SANITIZED
/// In front of the C library's, which std::thread calls.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*start)(void*), void* argument) noexcept {
  if (is_thread_due()) return EAGAIN;
  static const auto real =
      reinterpret_cast<decltype(&pthread_create)>(::dlsym(RTLD_NEXT, "pthread_create"));
  return real(thread, attributes, start, argument);
}
#endif

namespace lull::test {
namespace {

/// @return what it threw
std::optional<std::string> attempt(const std::function<void()>& operation) {
  const auto end_shortage = [] {
    const bool had_failed = allocation_has_failed();
    fail_allocation(0);
    if (had_failed) another_failed = true;
    threads_left = -1;
  };
  try {
    operation();
    end_shortage();
    return std::nullopt;
  } catch (const lull::error& failure) {
    end_shortage();
    return failure.what();
  } catch (const std::bad_alloc&) {
    end_shortage();
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
      another_failed = true;
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
  for (std::int64_t n = 0;; ++n) {
    SCOPED_TRACE((what == resource::allocation ? "allocation " : "thread ") + std::to_string(n));
    another_failed = false;
    if (what == resource::thread) threads_left = n;
    if (what == resource::allocation) fail_allocation(static_cast<std::uint64_t>(n) + 1);
    const std::optional<std::string> thrown = attempt(operation);
    const bool was_reached = another_failed;
    if (!was_reached) {
      EXPECT_EQ(thrown, std::nullopt) << "it fails with all there is";
    }
    check(thrown.has_value());
    if (!was_reached || testing::Test::HasFailure()) return;
    ASSERT_LT(n, 5000);
  }
}

std::string name_of(const testing::TestParamInfo<resource>& which) {
  switch (which.param) {
    case resource::allocation: return "allocations";
    case resource::thread: return "threads";
    case resource::descriptor: return "descriptors";
  }
  return "?";
}

bool one_has_failed() noexcept {
  return another_failed || allocation_has_failed();
}

}  // namespace lull::test
