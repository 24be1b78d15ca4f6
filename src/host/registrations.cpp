#include "host/registrations.hpp"

#include <iterator>

#include "host/memory.hpp"
#include "vocabulary/page.hpp"
#include "vocabulary/text.hpp"

namespace lull::backends {

using lull::detail::page_bytes;

void host_registrations::host_register(std::uint32_t, void* address, std::uint64_t bytes,
                                       std::int32_t) {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  if (address == nullptr || bytes == 0 || start % page_bytes() != 0 || bytes % page_bytes() != 0 ||
      bytes > UINTPTR_MAX - start) {
    misuse(lull::detail::text("{} with {} bytes is no range of whole pages of {} bytes",
                              lull::detail::hex(address), bytes, page_bytes()));
  }
  const std::lock_guard lock(mutex_);
  const auto after = registered_.lower_bound(start);
  const bool runs_into = after != registered_.end() && after->first - start < bytes;
  const bool begins_in =
      after != registered_.begin() && start - std::prev(after)->first < std::prev(after)->second;
  if (runs_into || begins_in) {
    misuse(lull::detail::text("a part of {} with {} bytes is registered already",
                              lull::detail::hex(address), bytes));
  }
  registered_.emplace(start, bytes);
}

void host_registrations::host_unregister(std::uint32_t, void* address) {
  const std::lock_guard lock(mutex_);
  if (registered_.erase(reinterpret_cast<std::uintptr_t>(address)) == 0) {
    misuse(lull::detail::text("nothing is registered at {}", lull::detail::hex(address)));
  }
}

}  // namespace lull::backends
