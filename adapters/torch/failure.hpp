#ifndef LULL_ADAPTERS_TORCH_FAILURE_HPP
#define LULL_ADAPTERS_TORCH_FAILURE_HPP

#include <lull/error.hpp>
#include <lull/lull.h>

#include <utility>

namespace lull_torch {

/// @throws lull::error: what lull's C API has just said of a failure on this thread
void expect_ok(lull_status code);

/// Keeps what is being handled as this thread's last error. @return its code
lull_status remember_current() noexcept;
/// Whole, or cut where there is no memory for more. Never null.
const char* last_words() noexcept;
lull_status last_status() noexcept;

/// Runs `work`; what it throws becomes a status and this thread's last error.
template <class Work>
lull_status guarded(Work&& work) noexcept {
  try {
    std::forward<Work>(work)();
    return LULL_OK;
  } catch (...) {
    return remember_current();
  }
}

}  // namespace lull_torch

#endif  // LULL_ADAPTERS_TORCH_FAILURE_HPP
