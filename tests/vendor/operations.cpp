#include "vendor/operations.hpp"

namespace lull::test {
namespace {

void nothing(bench&) {}

std::vector<operation> plain_operations() {
  const auto allocate = [](bench& b) { b.address = b.which.allocate(piece); };
  const auto deallocate = [](bench& b) { b.which.deallocate(b.address, piece); };
  return {
      {"allocate", nothing, allocate, deallocate},
      {"deallocate", allocate, deallocate, nothing},
      {"copy_to_host", allocate,
       [](bench& b) { b.which.copy_to_host(b.host.data(), b.address, piece); }, deallocate},
      {"copy_from_host", allocate,
       [](bench& b) { b.which.copy_from_host(b.address, b.host.data(), piece); }, deallocate},
      {"fill", allocate, [](bench& b) { b.which.fill(b.address, std::byte{1}, piece); },
       deallocate},
      {"pinned_allocate", nothing, [](bench& b) { b.address = b.which.pinned_allocate(piece); },
       [](bench& b) { b.which.pinned_free(b.address); }},
      {"pinned_free", [](bench& b) { b.address = b.which.pinned_allocate(piece); },
       [](bench& b) { b.which.pinned_free(b.address); }, nothing},
      {"context_create", nothing, [](bench& b) { b.which.context_create(); }, nothing},
      {"context_alive", nothing, [](bench& b) { static_cast<void>(b.which.context_alive()); },
       nothing},
      {"synchronize", nothing, [](bench& b) { b.which.synchronize(); }, nothing},
      {"memory", nothing, [](bench& b) { static_cast<void>(b.which.memory()); }, nothing},
      {"pool_trim", nothing, [](bench& b) { b.which.pool_trim(); }, nothing},
      {"dev_reset", nothing, [](bench& b) { dev_reset(b.which); }, nothing},
  };
}

std::vector<operation> stream_operations() {
  const auto create = [](bench& b) { b.stream = b.which.stream_create(); };
  const auto destroy = [](bench& b) { b.which.stream_destroy(b.stream); };
  const auto create_all = [](bench& b) {
    b.stream = b.which.stream_create();
    b.event = b.which.event_create();
    b.address = b.which.allocate(piece);
  };
  const auto destroy_all = [](bench& b) {
    b.which.event_destroy(b.event);
    b.which.stream_destroy(b.stream);
    b.which.deallocate(b.address, piece);
  };
  const auto event = [](bench& b) { b.event = b.which.event_create(); };
  const auto end_event = [](bench& b) { b.which.event_destroy(b.event); };
  return {
      {"stream_create", nothing, create, destroy},
      {"stream_destroy", create, destroy, nothing},
      {"stream_synchronize", create, [](bench& b) { b.which.stream_synchronize(b.stream); },
       destroy},
      {"stream_wait_event", create_all,
       [](bench& b) { b.which.stream_wait_event(b.stream, b.event); }, destroy_all},
      {"copy_to_host_async", create_all,
       [](bench& b) { b.which.copy_to_host_async(b.stream, b.host.data(), b.address, piece); },
       destroy_all},
      {"copy_from_host_async", create_all,
       [](bench& b) { b.which.copy_from_host_async(b.stream, b.address, b.host.data(), piece); },
       destroy_all},
      {"event_create", nothing, event, end_event},
      {"event_destroy", event, end_event, nothing},
      {"event_record", create_all, [](bench& b) { b.which.event_record(b.event, b.stream); },
       destroy_all},
      {"event_query", event, [](bench& b) { static_cast<void>(b.which.event_query(b.event)); },
       end_event},
      {"event_synchronize", event, [](bench& b) { b.which.event_synchronize(b.event); }, end_event},
  };
}

std::vector<operation> registration_operations() {
  const auto add = [](bench& b) { b.which.host_register(b.pages.data(), piece); };
  const auto remove = [](bench& b) { b.which.host_unregister(b.pages.data()); };
  return {
      {"host_register", nothing, add, remove},
      {"host_unregister", add, remove, nothing},
      {"dev_reset", add, [](bench& b) { dev_reset(b.which); }, nothing},
  };
}

std::vector<operation> graph_operations() {
  const auto adopt = [](bench& b) {
    ASSERT_EQ(b.here.gpu().graph_create(1, 1_MiB, &b.address), simgpu::code::ok);
    b.which.graph_adopt(b.address);
    b.stream = b.which.stream_create();
  };
  const auto destroy = [](bench& b) { b.which.graph_destroy(b.address); };
  const auto end = [](bench& b) {
    b.which.graph_destroy(b.address);
    b.which.stream_destroy(b.stream);
  };
  const auto when = [](capability what, const auto& work) {
    return [what, work](bench& b) {
      if (b.which.supports(what)) work(b);
    };
  };
  return {
      {"graph_destroy", adopt, destroy, [](bench& b) { b.which.stream_destroy(b.stream); }},
      {"graph_node_count", nothing,
       [](bench& b) {
         std::size_t nodes = 3;
         EXPECT_EQ(b.which.graph_node_count(&nodes), 3u);
       },
       nothing},
      {"graph_upload", adopt,
       when(capability::graph_upload, [](bench& b) { b.which.graph_upload(b.address, b.stream); }),
       end},
      {"graph_trim", nothing, when(capability::graph_trim, [](bench& b) { b.which.graph_trim(); }),
       nothing},
  };
}

std::vector<operation> stable_address_operations() {
  const auto reserve = [](bench& b) { b.address = b.which.vm_reserve(piece); };
  const auto release = [](bench& b) { b.which.vm_release(b.address, piece); };
  const auto create = [](bench& b) { b.handle = b.which.vm_create(piece); };
  const auto destroy = [](bench& b) { b.which.vm_destroy(b.handle); };
  const auto map = [](bench& b) { b.which.vm_map(b.address, piece, b.handle); };
  const auto unmap = [](bench& b) { b.which.vm_unmap(b.address, piece); };
  const auto reserve_create = [=](bench& b) {
    reserve(b);
    create(b);
  };
  const auto mapped = [=](bench& b) {
    reserve_create(b);
    map(b);
  };
  const auto release_destroy = [=](bench& b) {
    destroy(b);
    release(b);
  };
  const auto region = [](bench& b) {
    b.regions.push_back(b.arena.allocate(b.which, piece, {.name = "w"}));
  };
  const auto two_regions = [=](bench& b) {
    region(b);
    region(b);
  };
  const auto drop = [](bench& b) { b.regions.clear(); };
  const auto evict = [](bench& b) {
    b.report = b.arena.evict({.otherwise = contents_action::offload});
  };
  const auto restore = [](bench& b) { b.report = b.arena.restore(); };
  return {
      {"vm_granularity", nothing, [](bench& b) { static_cast<void>(b.which.vm_granularity()); },
       nothing},
      {"vm_reserve", nothing, reserve, release},
      {"vm_reserve_near",
       [=](bench& b) {
         reserve(b);
         release(b);
       },
       [](bench& b) { b.address = b.which.vm_reserve(piece, {.wanted = b.address}); }, release},
      {"vm_release", reserve, release, nothing},
      {"vm_create", nothing, create, destroy},
      {"vm_destroy", create, destroy, nothing},
      {"vm_map", reserve_create, map,
       [=](bench& b) {
         unmap(b);
         release_destroy(b);
       }},
      {"vm_unmap", mapped, unmap, release_destroy},
      {"vm_set_access", mapped,
       [](bench& b) { b.which.vm_set_access(b.address, piece, {b.here.device(0)}); },
       [=](bench& b) {
         unmap(b);
         release_destroy(b);
       }},
      {"is_accessible_from", nothing,
       [](bench& b) { static_cast<void>(b.which.is_accessible_from(b.here.device(0))); }, nothing},
      {"region", nothing, region, drop},
      {"evict", two_regions, evict, drop},
      {"restore",
       [=](bench& b) {
         two_regions(b);
         evict(b);
       },
       restore, drop},
  };
}

/// Of a process that is not this one, where the vendor can. What a failure must leave as it was is
/// where the process is.
std::vector<operation> suspend_operations() {
  constexpr std::int64_t pid = 4711;
  const auto when_it_can = [](const auto& work) {
    return [work](bench& b) {
      if (b.which.supports(capability::suspend)) work(b);
    };
  };
  const auto lock = [](bench& b) { b.which.suspend_lock(pid, std::chrono::seconds{1}); };
  const auto save = [](bench& b) { b.which.suspend_save(pid); };
  const auto restore = [](bench& b) { b.which.suspend_restore(pid); };
  const auto unlock = [](bench& b) { b.which.suspend_unlock(pid); };
  const auto lock_save = [=](bench& b) {
    lock(b);
    save(b);
  };
  return {
      {"suspend_state", nothing,
       when_it_can([](bench& b) { static_cast<void>(b.which.suspend_state(pid)); }), nothing},
      {"suspend_lock", nothing, when_it_can(lock), when_it_can(unlock)},
      {"suspend_save", when_it_can(lock), when_it_can(save), nothing},
      {"suspend_restore", when_it_can(lock_save), when_it_can(restore), when_it_can(unlock)},
      {"suspend_unlock", when_it_can(lock), when_it_can(unlock), nothing},
      {"checkpoint_process", nothing,
       when_it_can([](bench& b) { b.which.checkpoint_process(pid, std::chrono::seconds{1}); }),
       nothing},
  };
}

}  // namespace

std::vector<operation> all_operations() {
  std::vector<operation> all;
  for (const auto& some : {plain_operations(), stream_operations(), registration_operations(),
                           graph_operations(), stable_address_operations(), suspend_operations()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

void expect_nothing_left(bench& b) {
  b.arena.arena().trim();
  EXPECT_EQ(b.arena.leftover_bytes(), 0U);
  const simgpu::books left = b.here.gpu().take_stock();
  EXPECT_EQ(left.allocations + left.reservations + left.physical + left.mappings, 0)
      << to_string(left);
  EXPECT_EQ(left.streams + left.events + left.pinned + left.registrations + left.graphs, 0)
      << to_string(left);
}

}  // namespace lull::test
