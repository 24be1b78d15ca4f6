#ifndef LULL_HOST_REGISTRATIONS_HPP
#define LULL_HOST_REGISTRATIONS_HPP

#include <cstdint>
#include <map>
#include <mutex>

namespace lull::backends {

/// Registrations of the host device. There is nothing to pin; they are kept so that what a vendor
/// refuses is refused here too.
class host_registrations {
 public:
  void host_register(std::uint32_t device, void* address, std::uint64_t bytes,
                     std::int32_t read_only);
  void host_unregister(std::uint32_t device, void* address);

 private:
  std::mutex mutex_;
  std::map<std::uintptr_t, std::uint64_t> registered_;  // address to size
};

}  // namespace lull::backends

#endif  // LULL_HOST_REGISTRATIONS_HPP
