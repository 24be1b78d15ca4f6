#include "memory/extent.hpp"

#include <lull/error.hpp>

#include <iterator>
#include <new>

namespace lull::detail {
namespace {

constexpr std::uint64_t place_bytes(std::uint64_t bytes) noexcept {
  return (bytes + extent::alignment - 1) / extent::alignment * extent::alignment;
}

/// Does what a reset may have done already.
template <class Work>
void unless_stale(Work&& work) {
  try {
    work();
  } catch (const error& failure) {
    if (failure.code() != status::stale) throw;
  }
}

}  // namespace

void extent::reserve() {
  if (address == nullptr) address = where.vm_reserve(size_bytes);
}

void extent::obtain() {
  if (!physical) physical = where.vm_create(size_bytes);
}

void extent::map() {
  if (mapped) return;
  where.vm_map(address, size_bytes, *physical);
  mapped = true;
  if (peers.empty()) return;
  try {
    where.vm_set_access(address, size_bytes, peers);
  } catch (...) {
    try {
      unmap();
    } catch (const error&) {  // NOLINT(bugprone-empty-catch): still mapped, and undone later
    }
    throw;
  }
}

void extent::unmap() {
  if (!mapped) return;
  unless_stale([this] { where.vm_unmap(address, size_bytes); });
  mapped = false;
}

void extent::free_memory() {
  if (!physical) return;
  unless_stale([this] { where.vm_destroy(*physical); });
  physical.reset();
}

void extent::release() {
  if (address == nullptr) return;
  unless_stale([this] { where.vm_release(address, size_bytes); });
  address = nullptr;
}

std::optional<std::uint64_t> extent::take(std::uint64_t bytes) {
  const std::uint64_t needed = place_bytes(bytes);
  for (auto hole = holes_.begin(); hole != holes_.end(); ++hole) {
    const auto [offset, size] = *hole;
    if (size < needed) continue;
    // A node is changed instead of made anew, so that this needs no memory.
    auto node = holes_.extract(hole);
    node.key() += needed;
    node.mapped() -= needed;
    if (node.mapped() != 0) holes_.insert(std::move(node));
    ++regions;
    return offset;
  }
  return std::nullopt;
}

void extent::give_back(std::uint64_t offset, std::uint64_t bytes) noexcept {
  --regions;
  try {
    add_hole(offset, place_bytes(bytes));
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): see the header
  }
}

void extent::add_hole(std::uint64_t offset, std::uint64_t size) {
  auto hole = holes_.emplace(offset, size).first;
  if (hole != holes_.begin()) {
    const auto before = std::prev(hole);
    if (before->first + before->second == offset) {
      before->second += hole->second;
      holes_.erase(hole);
      hole = before;
    }
  }
  const auto after = std::next(hole);
  if (after != holes_.end() && hole->first + hole->second == after->first) {
    hole->second += after->second;
    holes_.erase(after);
  }
}

}  // namespace lull::detail
