#ifndef LULL_TESTS_MODULES_TABLE_HPP
#define LULL_TESTS_MODULES_TABLE_HPP

#include <lull/backend.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>

namespace test_module {

/// Two small devices whose memory comes from malloc. Setting: "used_bytes".
struct test_backend {
  std::uint64_t used_bytes = 0;

  void describe(std::uint32_t device, lull_backend_device* out) {
    lull_backend_device facts{};
    facts.type = LULL_DEVICE_GPU;
    facts.capabilities = ~std::uint64_t{0};  // more than the table has: only that counts
    const std::string number = std::to_string(device);
    lull::backends::copy_text(facts.name, "TEST" + number);
    lull::backends::copy_text(facts.description, "test device " + number);
    lull::backends::copy_text(facts.pci_address, "0000:6" + number + ":00.0");
    lull::backends::copy_text(facts.uuid, "GPU-abc" + number);
    lull::backends::copy_versioned(out, facts);
  }
  void memory_info(std::uint32_t, lull_backend_memory* out) {
    lull_backend_memory figures{};
    figures.source = LULL_SOURCE_ACCOUNTING;
    figures.total_bytes = 1000;
    figures.free_bytes = LULL_UNKNOWN;
    figures.used_by_process_bytes = used_bytes;
    lull::backends::copy_versioned(out, figures);
  }
  void allocate(std::uint32_t, std::uint64_t bytes, void** address) {
    if (bytes > 1000) {
      throw lull::backends::backend_failure(LULL_ERROR_OUT_OF_DEVICE_MEMORY, "testMalloc", 2,
                                            "no room");
    }
    *address = std::malloc(bytes);
    used_bytes += bytes;
  }
  void deallocate(std::uint32_t, void* address, std::uint64_t bytes) {
    std::free(address);
    used_bytes -= bytes;
  }
};

inline lull_status open(const lull_backend_setting* settings, std::uint64_t count,
                        lull_backend** backend, lull_backend_error* error) {
  return lull::backends::guard(error, [&] {
    auto* const opened = new test_backend;
    for (std::uint64_t i = 0; i < count; ++i) {
      opened->used_bytes = std::strtoull(settings[i].value, nullptr, 10);
    }
    *backend = reinterpret_cast<lull_backend*>(opened);
  });
}

/// A table that is right in every respect; each module then spoils what it is for.
inline lull_backend_ops good_table() {
  using lull::backends::thunk;
  lull_backend_ops table{};
  table.abi_version = LULL_BACKEND_ABI_VERSION;
  table.struct_size = sizeof table;
  table.name = "test";
  table.score = [](char*, std::uint64_t) -> std::int32_t { return 10; };
  table.open = open;
  table.close = [](lull_backend* self) { delete reinterpret_cast<test_backend*>(self); };
  table.device_count = [](lull_backend*) -> std::uint32_t { return 2; };
  table.device_describe = thunk<&test_backend::describe>;
  table.memory_info = thunk<&test_backend::memory_info>;
  table.allocate = &lull::backends::group_of<lull_allocate_ops, test_backend>;
  return table;
}

/// The group of plain allocations after `change`, for as long as the module is loaded.
template <class Change>
const lull_allocate_ops* changed_allocate(Change change) {
  static const lull_allocate_ops group = [&change] {
    lull_allocate_ops result = lull::backends::group_of<lull_allocate_ops, test_backend>;
    change(result);
    return result;
  }();
  return &group;
}

/// The table after `change`, for as long as the module is loaded.
template <class Change>
const lull_backend_ops* changed_table(Change change) {
  static const lull_backend_ops table = [&change] {
    lull_backend_ops result = good_table();
    change(result);
    return result;
  }();
  return &table;
}

}  // namespace test_module

#endif  // LULL_TESTS_MODULES_TABLE_HPP
