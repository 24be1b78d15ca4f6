#ifndef LULL_BACKENDS_COMMON_LEFTOVER_MAPPINGS_HPP
#define LULL_BACKENDS_COMMON_LEFTOVER_MAPPINGS_HPP

#include <cstdint>
#include <exception>
#include <map>
#include <mutex>

namespace lull::backends {

/// Mappings of one device's that could neither be made accessible nor be unmapped again. Nobody
/// else knows of them, so they are tried again whenever their range or their memory is needed.
class leftover_mappings {
 public:
  /// Out of host memory it is forgotten: it stays mapped until the process ends.
  void add(void* address, std::uint64_t bytes, std::uint64_t handle) noexcept {
    const std::lock_guard lock(mutex_);
    try {
      all_.insert_or_assign(static_cast<char*>(address), mapping{bytes, handle});
    } catch (const std::exception&) {
    }
  }

  /// Unmaps those that overlap a range.
  /// @param unmap is called with an address and bytes; what it throws ends this
  template <class Unmap>
  void end_in(void* address, std::uint64_t bytes, Unmap&& unmap) {
    auto* const first = static_cast<char*>(address);
    end_if(unmap, [&](char* at, const mapping& each) {
      return at < first + bytes && at + each.bytes > first;
    });
  }

  /// Unmaps what is behind a handle.
  template <class Unmap>
  void end_of(std::uint64_t handle, Unmap&& unmap) {
    end_if(unmap, [&](char*, const mapping& each) { return each.handle == handle; });
  }

 private:
  struct mapping {
    std::uint64_t bytes = 0;
    std::uint64_t handle = 0;
  };

  template <class Unmap, class Predicate>
  void end_if(Unmap& unmap, Predicate wanted) {
    const std::lock_guard lock(mutex_);
    for (auto at = all_.begin(); at != all_.end();) {
      if (!wanted(at->first, at->second)) {
        ++at;
        continue;
      }
      unmap(at->first, at->second.bytes);
      at = all_.erase(at);
    }
  }

  std::mutex mutex_;
  std::map<char*, mapping> all_;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_LEFTOVER_MAPPINGS_HPP
