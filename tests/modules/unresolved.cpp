// Needs a symbol that nobody has: the dynamic linker refuses it.
#include <lull/backend_module.h>

extern "C" const lull_backend_ops* lull_test_symbol_that_nobody_defines();

const lull_backend_ops* lull_backend_entry() {
  return lull_test_symbol_that_nobody_defines();
}
