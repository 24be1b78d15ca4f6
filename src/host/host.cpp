#include "host/host.hpp"

#include <lull/backend.hpp>
#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <unistd.h>

#include <optional>

#include "host/memory.hpp"
#include "host/registrations.hpp"
#include "host/streams.hpp"
#include "vocabulary/page.hpp"
#include "vocabulary/system_memory.hpp"
#include "vocabulary/text.hpp"

namespace lull::backends {

using lull::detail::page_bytes;

namespace {

/// The one device, "HOST".
class host_backend : public host_memory, public host_streams, public host_registrations {
 public:
  using host_memory::host_memory;

  void describe(std::uint32_t, lull_backend_device* out) {
    lull_backend_device device{};
    device.type = LULL_DEVICE_HOST;
    // All groups that the table below has, and these facts.
    device.capabilities =
        ~LULL_CAP_FACTS | LULL_CAP_HOST_ACCESSIBLE | LULL_CAP_READ_ONLY_REGISTRATION;
    copy_text(device.name, "HOST");
    copy_text(device.description, "memory of this process");
    copy_versioned(out, device);
  }

  void graph_destroy(std::uint32_t, void* graph_exec) {
    lull_host_graph& graph = graph_at(graph_exec);
    if (graph.destroy == nullptr) {
      misuse(
          lull::detail::text("the graph at {} has no destroy function; a host graph begins with a "
                             "lull_host_graph",
                             graph_exec));
    }
    graph.destroy(&graph);
  }

  void graph_node_count(std::uint32_t, void* graph, std::uint64_t* nodes) {
    *nodes = graph_at(graph).nodes;
  }

 private:
  static lull_host_graph& graph_at(void* graph) {
    if (graph == nullptr) misuse("a null pointer is no host graph");
    return *static_cast<lull_host_graph*>(graph);
  }
};

std::uint64_t default_capacity() {
  if (const auto system = lull::detail::read_system_memory()) return system->total_bytes;
  return page_bytes() * static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES));
}

std::uint64_t capacity_from(const lull_backend_setting* settings, std::uint64_t count) {
  std::optional<std::uint64_t> capacity;
  read_settings(settings, count, "host", "capacity_bytes", [&](auto key, auto value) {
    if (key != "capacity_bytes") return false;
    capacity = parse_bytes(value);
    if (*capacity < page_bytes()) {
      misuse(lull::detail::text("host: capacity_bytes = {} is below one page of {}", value,
                                format_bytes(page_bytes())));
    }
    return true;
  });
  return capacity ? *capacity : default_capacity();
}

lull_status open_host(const lull_backend_setting* settings, std::uint64_t setting_count,
                      lull_backend** backend, lull_backend_error* error) {
  return guard(error, [&] {
    try {
      *backend =
          reinterpret_cast<lull_backend*>(new host_backend(capacity_from(settings, setting_count)));
    } catch (const lull::error& failure) {
      throw backend_failure(static_cast<lull_status>(failure.code()), "", 0,
                            lull::detail::text("host: capacity_bytes: {}", failure.what()));
    }
  });
}

}  // namespace

const lull_backend_ops& host_ops() noexcept {
  static const lull_backend_ops ops = [] {
    lull_backend_ops table{};
    table.abi_version = LULL_BACKEND_ABI_VERSION;
    table.struct_size = sizeof(lull_backend_ops);
    table.name = "host";
    table.score = [](char*, std::uint64_t) -> std::int32_t { return 1; };
    table.open = open_host;
    table.close = [](lull_backend* self) { delete reinterpret_cast<host_backend*>(self); };
    table.device_count = [](lull_backend*) -> std::uint32_t { return 1; };
    table.device_describe = thunk<&host_backend::describe>;
    table.memory_info = thunk<&host_backend::memory_info, host_backend>;
    table.allocate = &group_of<lull_allocate_ops, host_backend>;
    table.stable_addresses = &group_of<lull_stable_addresses_ops, host_backend>;
    table.copy = &group_of<lull_copy_ops, host_backend>;
    table.streams = &group_of<lull_streams_ops, host_backend>;
    table.registration = &group_of<lull_registration_ops, host_backend>;
    table.graphs = &group_of<lull_graphs_ops, host_backend>;
    return table;
  }();
  return ops;
}

}  // namespace lull::backends
