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
  if (address == nullptr || is_lost()) {
    // Looked at before: should a reset come in between, they count as lost once more.
    const std::uint64_t generation = where.generation();
    address = where.vm_reserve(size_bytes, {address, may_move});
    reserved_in_ = generation;
  }
  if (!parts.empty()) return;
  parts.reserve((size_bytes - 1) / handle_bytes_ + 1);
  for (std::uint64_t left = size_bytes; left != 0;) {
    const std::uint64_t bytes = std::min(handle_bytes_, left);
    parts.push_back({size_bytes - left, bytes, {}, false});
    left -= bytes;
  }
}

void extent::obtain(part& which) const {
  if (!which.physical) which.physical = where.vm_create(which.bytes);
}

void extent::obtain() {
  for (part& each : parts) obtain(each);
}

void extent::map(part& which) const {
  if (which.mapped) return;
  where.vm_map(static_cast<std::byte*>(address) + which.offset, which.bytes, *which.physical);
  which.mapped = true;
  if (peers.empty()) return;
  try {
    where.vm_set_access(static_cast<std::byte*>(address) + which.offset, which.bytes, peers);
  } catch (...) {
    try {
      unmap(which);
    } catch (const error&) {  // NOLINT(bugprone-empty-catch): still mapped, and undone later
    }
    throw;
  }
}

void extent::map() {
  for (part& each : parts) map(each);
}

void extent::unmap(part& which) const {
  if (!which.mapped) return;
  unless_stale(
      [&] { where.vm_unmap(static_cast<std::byte*>(address) + which.offset, which.bytes); });
  which.mapped = false;
}

void extent::unmap() {
  for (part& each : parts) unmap(each);
}

void extent::free_memory(part& which) const {
  if (!which.physical) return;
  unless_stale([&] { where.vm_destroy(*which.physical); });
  which.physical.reset();
}

void extent::free_memory() {
  for (part& each : parts) free_memory(each);
}

bool extent::is_lost() const noexcept {
  return address != nullptr && !where.supports(capability::addresses_outlive_reset) &&
         where.supports(capability::reset) && reserved_in_ != where.generation();
}

bool extent::is_mapped() const noexcept {
  return !parts.empty() &&
         std::all_of(parts.begin(), parts.end(), [](const part& each) { return each.mapped; });
}

bool extent::has_mapped() const noexcept {
  return std::any_of(parts.begin(), parts.end(), [](const part& each) { return each.mapped; });
}

std::uint64_t extent::obtained_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const part& each : parts) bytes += each.physical ? each.bytes : 0;
  return bytes;
}

void extent::release() {
  if (address == nullptr) return;
  // By now they may be somebody else's.
  if (!is_lost()) unless_stale([this] { where.vm_release(address, size_bytes); });
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
