#include "core/shared_object.hpp"

#include <lull/error.hpp>

#include <dlfcn.h>

#include <mutex>

#include "vocabulary/text.hpp"

namespace lull::detail {

namespace {

/// Held while the dynamic linker maps or unmaps. A module can be unmapped on a probe's thread, when
/// its last call returns late; what loads it anew is ordered after that by the linker's own lock,
/// which a thread sanitizer does not see. Recursive: constructors of a module may load others.
std::recursive_mutex& linking() {
  // Never destroyed: modules may be unmapped while the process ends.
  static auto& mutex = *new std::recursive_mutex;
  return mutex;
}

}  // namespace

shared_object::shared_object(const std::filesystem::path& file) {
  const std::lock_guard lock(linking());
  void* const handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const words = ::dlerror();
    fail(status::bad_module, "the dynamic linker cannot load it: {}",
         words != nullptr ? words : "no reason given");
  }
  handle_ = std::shared_ptr<void>(handle, [](void* open) {
    const std::lock_guard unmapping(linking());
    ::dlclose(open);
  });
}

void* shared_object::symbol(const char* name) const noexcept {
  return handle_ ? ::dlsym(handle_.get(), name) : nullptr;
}

}  // namespace lull::detail
