#include "reset/once.hpp"

#include <lull/once.h>

#include "capi/values.hpp"

using lull::capi::guard;
using lull::capi::required;

lull_status lull_once_run(lull_once* once, const lull_generation* of, lull_once_fn work,
                          void* user) {
  return guard([&] {
    lull_once& memory = required(once, "once");
    const lull_generation& where = required(of, "of");
    required(work, "work");
    lull::detail::run_once(memory, where,
                           [&] { lull::capi::expect_callback_ok(work(user), "once"); });
  });
}
