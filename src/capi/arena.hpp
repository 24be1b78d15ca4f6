#ifndef LULL_CAPI_ARENA_HPP
#define LULL_CAPI_ARENA_HPP

#include <lull/c/arena.h>
#include <lull/host_arena.hpp>

struct lull_arena {
  lull::host_arena value;
};

#endif  // LULL_CAPI_ARENA_HPP
