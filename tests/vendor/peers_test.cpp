// Stable-address memory that other devices use directly.

#include "support/expect_error.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t piece = std::uint64_t{4} << 20;

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

}  // namespace
}  // namespace lull::test
