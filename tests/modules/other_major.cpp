// Built for another ABI. Its constructors leave a mark: they must not run.
#include <lull/backend.h>

#include <cstdlib>

#undef LULL_BACKEND_ABI_VERSION
#define LULL_BACKEND_ABI_VERSION 0x00030003u
#include <lull/backend_module.h>

namespace {
[[maybe_unused]] const int mark = ::setenv("LULL_TEST_CODE_HAS_RUN", "other_major", 1);
}

const lull_backend_ops* lull_backend_entry() {
  return nullptr;
}
