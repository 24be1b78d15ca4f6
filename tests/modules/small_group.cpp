#include <lull/backend_module.h>

#include "table.hpp"

const lull_backend_ops* lull_backend_entry() {
  return test_module::changed_table([](lull_backend_ops& table) {
    table.allocate =
        test_module::changed_allocate([](lull_allocate_ops& group) { group.struct_size = 8; });
  });
}
