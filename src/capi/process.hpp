#ifndef LULL_CAPI_PROCESS_HPP
#define LULL_CAPI_PROCESS_HPP

#include <lull/c/process.h>
#include <lull/process.hpp>
#include <lull/settle.hpp>

#include <memory>

#include "capi/values.hpp"

struct lull_process {
  std::shared_ptr<lull::release_clock> releases;  // first, so that it goes last
  lull::process value;
};

namespace lull::capi {

template <>
inline constexpr process_state last_of<process_state> = process_state::stopped;
template <>
inline constexpr child_stream last_of<child_stream> = child_stream::pipe;
template <>
inline constexpr lull_standard_stream last_of<lull_standard_stream> = LULL_STANDARD_ERRORS;

}  // namespace lull::capi

#endif  // LULL_CAPI_PROCESS_HPP
