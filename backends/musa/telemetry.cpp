#include "musa/telemetry.hpp"

namespace lull::backends {

bool musa_telemetry::ready() {
  return start_.ready([this] {
    api_.emplace();
    return api_->needed && api_->init(&library_) == mtml::success && library_ != nullptr;
  });
}

void musa_telemetry::observe(const std::string& pci_address, lull_backend_memory& out) {
  const std::lock_guard lock(mutex_);
  if (!ready()) return;
  mtml::device* device = nullptr;
  if (api_->by_pci_address(library_, pci_address.c_str(), &device) != mtml::success) return;
  mtml::memory* memory = nullptr;
  if (api_->init_memory(device, &memory) == mtml::success) {
    unsigned long long total = 0;
    unsigned long long used = 0;
    if (api_->total(memory, &total) == mtml::success &&
        api_->used(memory, &used) == mtml::success && total != 0) {
      out.source = LULL_SOURCE_MANAGEMENT;
      out.total_bytes = total;
      out.free_bytes = used < total ? total - used : 0;
    }
    static_cast<void>(api_->free_memory(memory));
  }
  static_cast<void>(api_->free_device(device));
}

}  // namespace lull::backends
