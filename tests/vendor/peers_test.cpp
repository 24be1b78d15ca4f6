// Stable-address memory that other devices use directly.

#include <lull/lull.h>

#include "support/expect_error.hpp"
#include "vendor/operations.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// A piece of memory of the first device, mapped.
struct mapped_piece {
  explicit mapped_piece(const device& of)
      : which(of), address(of.vm_reserve(piece)), handle(of.vm_create(piece)) {
    which.vm_map(address, piece, handle);
  }
  ~mapped_piece() {
    which.vm_unmap(address, piece);
    which.vm_destroy(handle);
    which.vm_release(address, piece);
  }
  mapped_piece(const mapped_piece&) = delete;
  mapped_piece& operator=(const mapped_piece&) = delete;

  const device which;
  void* const address;
  const std::uint64_t handle;
};

TEST_P(Vendor, MemoryIsAccessibleFromTheDevicesThatWereNamed) {
  simgpu::scenario made;
  made.devices = 3;
  machine here(GetParam(), made);
  ASSERT_TRUE(here.device(0).supports(capability::peers));
  EXPECT_TRUE(here.device(0).is_accessible_from(here.device(0)));
  EXPECT_TRUE(here.device(0).is_accessible_from(here.device(2)));
  EXPECT_EQ(here.gpu().contexts_created(), 0) << "asking makes no context";

  const mapped_piece memory(here.device(0));
  EXPECT_THAT(here.gpu().accessible_from(memory.address), ElementsAre(0));
  memory.which.vm_set_access(memory.address, piece, {here.device(2)});
  EXPECT_THAT(here.gpu().accessible_from(memory.address), ElementsAre(0, 2));
  memory.which.vm_set_access(memory.address, piece, {});
  EXPECT_THAT(here.gpu().accessible_from(memory.address), ElementsAre(0, 2)) << "it stays";
}

TEST_P(Vendor, ADeviceThatCannotReachAnotherIsToldSo) {
  simgpu::scenario made;
  made.peers = false;
  machine here(GetParam(), made);
  EXPECT_FALSE(here.device(0).is_accessible_from(here.device(1)));
  const mapped_piece memory(here.device(0));
  EXPECT_EQ(
      error_of([&] { memory.which.vm_set_access(memory.address, piece, {here.device(1)}); }).code(),
      status::backend);
  EXPECT_THAT(here.gpu().accessible_from(memory.address), ElementsAre(0));
}

TEST_P(Vendor, AccessIsGivenToWhatIsMappedAndToDevicesOfTheBackend) {
  machine here(GetParam());
  const device host = here.registry().find("HOST");
  EXPECT_FALSE(here.device().is_accessible_from(host));
  const mapped_piece memory(here.device());
  const error foreign =
      error_of([&] { memory.which.vm_set_access(memory.address, piece, {host}); });
  EXPECT_EQ(foreign.code(), status::invalid_argument);
  EXPECT_THAT(foreign.what(), HasSubstr("HOST is of another backend"));
  void* const bare = memory.which.vm_reserve(piece);
  EXPECT_EQ(error_of([&] { memory.which.vm_set_access(bare, piece, {here.device(1)}); }).code(),
            status::stale);
  memory.which.vm_release(bare, piece);
}

// --- Regions -------------------------------------------------------------------------------------

class RegionPeers : public Vendor {
 protected:
  static simgpu::scenario three_devices() {
    simgpu::scenario made;
    made.devices = 3;
    return made;
  }
};

TEST_P(RegionPeers, CanUseARegionWheneverItIsThere) {
  machine here(GetParam(), three_devices());
  const device first = here.device(0);
  memory arena;
  const region shared =
      arena.allocate(first, piece, {.tag = "weights", .accessible_from = {here.device(2)}});
  const region own = arena.allocate(first, piece, {.tag = "weights"});
  EXPECT_THAT(here.gpu().accessible_from(shared.address()), ElementsAre(0, 2));
  EXPECT_THAT(here.gpu().accessible_from(own.address()), ElementsAre(0));
  const std::vector<std::byte> sent(piece, std::byte{7});
  first.copy_from_host(shared.address(), sent.data(), piece);

  for (const contents_action action : {contents_action::offload, contents_action::discard}) {
    arena.evict({.otherwise = action});
    EXPECT_THAT(here.gpu().accessible_from(shared.address()), testing::IsEmpty());
    arena.restore();
    EXPECT_THAT(here.gpu().accessible_from(shared.address()), ElementsAre(0, 2));
    EXPECT_THAT(here.gpu().accessible_from(own.address()), ElementsAre(0));
  }
  arena.evict({.otherwise = contents_action::discard});
  arena.swap({}, {"weights"});
  EXPECT_THAT(here.gpu().accessible_from(shared.address()), ElementsAre(0, 2));
}

TEST_P(RegionPeers, CanUseARegionThatBeganAbsent) {
  machine here(GetParam(), three_devices());
  memory arena;
  const region late =
      arena.allocate(here.device(0), piece, {.absent = true, .accessible_from = {here.device(1)}});
  EXPECT_THAT(here.gpu().accessible_from(late.address()), testing::IsEmpty());
  arena.restore();
  EXPECT_THAT(here.gpu().accessible_from(late.address()), ElementsAre(0, 1));
}

TEST_P(RegionPeers, DoNotGetAtSmallRegionsOfOthers) {
  machine here(GetParam(), three_devices());
  const device first = here.device(0);
  memory arena;
  const auto small = [&](std::vector<device> peers) {
    return arena.allocate(first, 512, {.accessible_from = std::move(peers)});
  };
  const region own = small({});
  const region one = small({here.device(1)});
  const region both = small({here.device(1), here.device(2)});
  const region both_again = small({here.device(2), first, here.device(1), here.device(2)});
  EXPECT_THAT(here.gpu().accessible_from(own.address()), ElementsAre(0));
  EXPECT_THAT(here.gpu().accessible_from(one.address()), ElementsAre(0, 1));
  EXPECT_THAT(here.gpu().accessible_from(both.address()), ElementsAre(0, 1, 2));
  EXPECT_EQ(static_cast<std::byte*>(both_again.address()) - static_cast<std::byte*>(both.address()),
            512)
      << "they share memory";
}

TEST_P(RegionPeers, ThatCannotReachItAreRefusedBeforeAnythingIsMade) {
  simgpu::scenario made;
  made.peers = false;
  machine here(GetParam(), made);
  const device first = here.device(0);
  const device host = here.registry().find("HOST");
  memory arena;
  const auto refuse = [&](const device& where, const device& peer) {
    return error_of([&] {
      static_cast<void>(arena.allocate(where, piece, {.name = "w", .accessible_from = {peer}}));
    });
  };
  const error no_link = refuse(first, here.device(1));
  EXPECT_EQ(no_link.code(), status::unsupported);
  EXPECT_THAT(no_link.what(), HasSubstr("region 'w' on " + first.name()));
  EXPECT_THAT(no_link.what(), HasSubstr(here.device(1).name() + " cannot access"));
  EXPECT_EQ(refuse(first, host).code(), status::unsupported);
  EXPECT_EQ(refuse(host, first).code(), status::unsupported);
  EXPECT_TRUE(arena.regions().empty());
  EXPECT_EQ(here.gpu().contexts_created(), 0);
  EXPECT_NO_THROW(static_cast<void>(arena.allocate(host, 1, {.accessible_from = {host}})));
}

// Every driver call of an allocation, and of a restore after an offload, fails in turn: all is as
// it was, and the next attempt gives access.
TEST_P(RegionPeers, AFailureAnywhereLeavesAllAsItWas) {
  machine here(GetParam(), three_devices());
  const device first = here.device(0);
  const std::string set_access =
      (GetParam().which == simgpu::vendor::hip ? "hip" : GetParam().memory_call.substr(0, 2)) +
      std::string("MemSetAccess");
  memory arena;
  const region_options options{.accessible_from = {here.device(1)}};
  first.context_create();
  const auto before = here.gpu().take_stock();
  for (int nth = 1; nth <= 2; ++nth) {
    here.gpu().script.fail(set_access, nth, 1);
    EXPECT_EQ(error_of([&] { static_cast<void>(arena.allocate(first, piece, options)); }).code(),
              status::backend);
    EXPECT_TRUE(arena.regions().empty());
    EXPECT_EQ(here.gpu().take_stock().mappings, before.mappings);
    EXPECT_EQ(here.gpu().take_stock().used_bytes, before.used_bytes);
  }
  const region shared = arena.allocate(first, piece, options);
  const std::vector<std::byte> sent(piece, std::byte{7});
  first.copy_from_host(shared.address(), sent.data(), piece);
  arena.evict({.otherwise = contents_action::offload});
  for (int nth = 1; nth <= 2; ++nth) {
    here.gpu().script.fail(set_access, nth, 1);
    EXPECT_EQ(error_of([&] { arena.restore(); }).code(), status::backend);
    EXPECT_EQ(shared.state(), residency::offloaded);
    EXPECT_THAT(here.gpu().accessible_from(shared.address()), testing::IsEmpty());
  }
  arena.restore();
  EXPECT_THAT(here.gpu().accessible_from(shared.address()), ElementsAre(0, 1));
  std::vector<std::byte> back(piece);
  first.copy_to_host(back.data(), shared.address(), piece);
  EXPECT_EQ(back, sent);
}

TEST_P(RegionPeers, AreNamedFromCToo) {
  machine here(GetParam(), three_devices());
  const std::string module = here.registry().modules().back().path;
  const char* const paths[] = {module.c_str()};
  lull_registry_options how;
  lull_registry_options_init(&how);
  how.search = 0;
  how.module_paths = paths;
  how.module_path_count = 1;
  lull_registry* registry = nullptr;
  lull_device* devices[2] = {};
  lull_memory* arena = nullptr;
  lull_region* shared = nullptr;
  ASSERT_EQ(lull_registry_create(&how, &registry), LULL_OK);
  for (const std::uint32_t i : {0u, 1u}) {
    ASSERT_EQ(lull_registry_find_ordinal(registry, GetParam().name.c_str(), i, &devices[i]),
              LULL_OK);
  }
  ASSERT_EQ(lull_memory_create(nullptr, &arena), LULL_OK);
  lull_region_options options;
  lull_region_options_init(&options);
  options.accessible_from = &devices[1];
  options.accessible_from_count = 1;
  ASSERT_EQ(lull_memory_allocate(arena, devices[0], piece, &options, &shared), LULL_OK)
      << lull_last_error_message();
  EXPECT_THAT(here.gpu().accessible_from(lull_region_address(shared)), ElementsAre(0, 1));
  lull_region_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(lull_region_describe(shared, &info), LULL_OK);
  EXPECT_EQ(info.address, lull_region_address(shared));
  EXPECT_EQ(info.size_bytes, piece);
  EXPECT_EQ(info.device_bytes, piece);
  EXPECT_EQ(info.device, GetParam().device);
  lull_region_destroy(shared);
  lull_memory_destroy(arena);
  for (lull_device* each : devices) lull_device_destroy(each);
  lull_registry_destroy(registry);
}

INSTANTIATE_TEST_SUITE_P(Modules, RegionPeers, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
