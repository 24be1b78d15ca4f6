#ifndef LULL_CAPI_REGISTRY_HPP
#define LULL_CAPI_REGISTRY_HPP

#include <lull/c/registry.h>
#include <lull/registry.hpp>

#include <memory>

struct lull_registry {
  std::shared_ptr<lull::registry> value;
};

#endif  // LULL_CAPI_REGISTRY_HPP
