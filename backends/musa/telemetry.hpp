#ifndef LULL_BACKENDS_MUSA_TELEMETRY_HPP
#define LULL_BACKENDS_MUSA_TELEMETRY_HPP

#include <lull/backend.h>

#include <chrono>
#include <mutex>
#include <optional>
#include <string>

#include "common/management_start.hpp"
#include "musa/mtml.hpp"

namespace lull::backends {

/// Looks at device memory through MTML, which needs no context. What this process holds stays
/// unknown.
class musa_telemetry {
 public:
  /// @param retry after how long MTML is asked again when it did not start
  explicit musa_telemetry(std::chrono::milliseconds retry) : start_(retry) {}

  /// Fills in what MTML knows and leaves the rest as it is.
  void observe(const std::string& pci_address, lull_backend_memory& out);

 private:
  [[nodiscard]] bool ready();

  std::mutex mutex_;  ///< MTML does not say whether it may be called from several threads
  management_start start_;
  mtml::library* library_ = nullptr;
  std::optional<mtml::api> api_;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_MUSA_TELEMETRY_HPP
