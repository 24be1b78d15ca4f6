#include <lull/backend_module.h>

#include <stdexcept>

const lull_backend_ops* lull_backend_entry() {
  throw std::runtime_error("no luck today");
}
