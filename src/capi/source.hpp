#ifndef LULL_CAPI_SOURCE_HPP
#define LULL_CAPI_SOURCE_HPP

#include <lull/c/source.h>
#include <lull/file_source.hpp>

#include <optional>

struct lull_file_source {
  lull::file_source value;
};

namespace lull::capi {

/// What the options say about a file; none where they name none.
/// @throws error (invalid_argument): pieces without a file
std::optional<region_source> make_region_source(const lull_region_options& given);

}  // namespace lull::capi

#endif  // LULL_CAPI_SOURCE_HPP
