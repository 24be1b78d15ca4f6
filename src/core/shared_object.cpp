#include "core/shared_object.hpp"

#include <lull/error.hpp>

#include <dlfcn.h>

#include <fmt/format.h>

namespace lull::detail {

shared_object::shared_object(const std::filesystem::path& file) {
  void* const handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const words = ::dlerror();
    throw error(status::bad_module, fmt::format("the dynamic linker cannot load it: {}",
                                                words != nullptr ? words : "no reason given"));
  }
  handle_ = std::shared_ptr<void>(handle, [](void* open) { ::dlclose(open); });
}

void* shared_object::symbol(const char* name) const noexcept {
  return handle_ ? ::dlsym(handle_.get(), name) : nullptr;
}

}  // namespace lull::detail
