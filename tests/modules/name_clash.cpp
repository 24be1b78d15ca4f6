#include <lull/backend_module.h>

#include "table.hpp"

// Its device has the name of the host backend's.
const lull_backend_ops* lull_backend_entry() {
  return test_module::changed_table([](lull_backend_ops& table) {
    table.name = "clash";
    table.device_describe = [](lull_backend* self, std::uint32_t device, lull_backend_device* out,
                               lull_backend_error* error) {
      const lull_status status =
          test_module::good_table().device_describe(self, device, out, error);
      lull::backends::copy_text(out->name, "HOST");
      return status;
    };
  });
}
