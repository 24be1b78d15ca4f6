#include "vocabulary/current_error.hpp"

#include <new>

namespace lull::detail {
namespace {

// Made when the library is loaded, as there is no memory for it when it is needed; never destroyed,
// as threads may outlive main's statics.
const error& out_of_host_memory() {
  static const error& instance = *new error(status::out_of_host_memory, "out of host memory");
  return instance;
}
[[maybe_unused]] const error& made_at_load = out_of_host_memory();

error caught(status foreign) {
  try {
    throw;
  } catch (const error& failure) {
    return failure;
  } catch (const std::bad_alloc&) {
    return out_of_host_memory();
  } catch (const std::exception& failure) {
    return {foreign, failure.what()};
  } catch (...) {
    return {foreign, "an exception of unknown type"};
  }
}

}  // namespace

error current_error(status foreign, std::string_view context) noexcept {
  try {
    error result = caught(foreign);
    if (context.empty()) return result;
    try {
      return result.with_context(context);
    } catch (...) {
      return result;  // no memory for the context: what happened says more than where
    }
  } catch (...) {
    return out_of_host_memory();
  }
}

}  // namespace lull::detail
