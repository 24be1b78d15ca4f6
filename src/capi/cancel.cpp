#include <lull/c/cancel.h>

#include "capi/values.hpp"

using lull::capi::guard;
using lull::capi::required;

lull_status lull_cancel_create(lull_cancel** cancel) {
  return guard([&] {
    auto& result = required(cancel, "cancel");
    result = new lull_cancel;
  });
}

lull_status lull_cancel_request(lull_cancel* cancel) {
  return guard([&] { required(cancel, "cancel").source.request_stop(); });
}

void lull_cancel_destroy(lull_cancel* cancel) {
  delete cancel;
}
