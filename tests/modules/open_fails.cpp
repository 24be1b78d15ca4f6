#include <lull/backend_module.h>

#include "table.hpp"

const lull_backend_ops* lull_backend_entry() {
  return test_module::changed_table([](lull_backend_ops& table) {
    table.open = [](const lull_backend_setting*, std::uint64_t, lull_backend**,
                    lull_backend_error* error) {
      error->vendor_code = 35;
      lull::backends::copy_text(error->call, "testInit");
      lull::backends::copy_text(error->message, "the driver is too old");
      return LULL_ERROR_BACKEND;
    };
  });
}
