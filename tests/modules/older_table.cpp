#include <lull/backend_module.h>

#include "table.hpp"

// As a module of the first minor version would look that had the mandatory part only.
const lull_backend_ops* lull_backend_entry() {
  return test_module::changed_table(
      [](lull_backend_ops& table) { table.struct_size = LULL_BACKEND_OPS_MIN_SIZE; });
}
