#ifndef LULL_CAPI_SLEEP_PLAN_HPP
#define LULL_CAPI_SLEEP_PLAN_HPP

#include <lull/c/sleep_plan.h>
#include <lull/sleeper.hpp>

#include <vector>

#include "capi/values.hpp"

namespace lull::capi {

template <>
inline constexpr sleep_level last_of<sleep_level> = sleep_level::rebirth;
template <>
inline constexpr context_action last_of<context_action> = context_action::rebirth;

/// @throws error (invalid_argument) for a value that there is not
sleep_plan make_plan(const lull_sleep_plan& from);

/// The plan as C sees it. It refers to `from` and to `tags`, which takes no memory where it has
/// room already.
lull_sleep_plan plan_for_c(const sleep_plan& from, std::vector<lull_tag_action>& tags);

}  // namespace lull::capi

#endif  // LULL_CAPI_SLEEP_PLAN_HPP
