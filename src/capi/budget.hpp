#ifndef LULL_CAPI_BUDGET_HPP
#define LULL_CAPI_BUDGET_HPP

#include <lull/budget.hpp>
#include <lull/c/budget.h>

#include <cstddef>
#include <vector>

struct lull_budget {
  lull::budget value;
};

namespace lull::capi {

/// Refers to the names in `from`.
std::vector<lull_device_bytes> list_of(const bytes_by_device& from);
/// Refers to what it is made of, which must outlive it.
lull_budget_eviction eviction_for_c(const budget_eviction& from,
                                    const std::vector<lull_device_bytes>& gain);

}  // namespace lull::capi

#endif  // LULL_CAPI_BUDGET_HPP
