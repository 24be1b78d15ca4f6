#include <lull/backend_module.h>

const lull_backend_ops* lull_backend_entry() {
  return nullptr;
}
