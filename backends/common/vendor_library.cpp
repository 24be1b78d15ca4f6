#include "common/vendor_library.hpp"

#include <dlfcn.h>

namespace lull::backends {

vendor_library vendor_library::open(std::initializer_list<const char*> sonames) {
  vendor_library library;
  // The program's own copy first: two runtimes in one process each keep state about one context.
  for (const int only_if_loaded : {RTLD_NOLOAD, 0}) {
    for (const char* soname : sonames) {
      void* const handle = ::dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | only_if_loaded);
      if (handle != nullptr) {
        library.handle_ = handle;
        library.name_ = soname;
        library.problem_.clear();
        return library;
      }
      const char* const words = ::dlerror();
      const bool absent = words == nullptr ||
                          std::string_view{words}.find("No such file") != std::string_view::npos;
      if (!only_if_loaded && !absent) library.problem_ = words;
    }
  }
  if (library.problem_.empty()) {
    for (const char* soname : sonames) {
      library.problem_ += library.problem_.empty() ? "" : ", ";
      library.problem_ += soname;
    }
    library.problem_ = "not found (" + library.problem_ + ")";
  }
  return library;
}

void* vendor_library::symbol(const char* name) const noexcept {
  return handle_ == nullptr ? nullptr : ::dlsym(handle_, name);
}

}  // namespace lull::backends
