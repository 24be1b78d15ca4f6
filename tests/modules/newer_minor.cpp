// Built for a later minor version: a larger table and a larger group, with slots that this lull
// does not know.
#include <lull/backend.h>

#undef LULL_BACKEND_ABI_VERSION
#define LULL_BACKEND_ABI_VERSION 0x00020009u
#include <lull/backend_module.h>

#include "table.hpp"

namespace {
struct newer_group {
  lull_allocate_ops known;
  void (*later)();
};
struct newer_ops {
  lull_backend_ops known;
  void (*later)();
};
}  // namespace

const lull_backend_ops* lull_backend_entry() {
  static const newer_group group = [] {
    newer_group result{*test_module::good_table().allocate, [] {}};
    result.known.struct_size = sizeof result;
    return result;
  }();
  static const newer_ops table = [] {
    newer_ops result{test_module::good_table(), [] {}};
    result.known.struct_size = sizeof result;
    result.known.allocate = &group.known;
    return result;
  }();
  return &table.known;
}
