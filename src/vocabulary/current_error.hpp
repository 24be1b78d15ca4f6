#ifndef LULL_VOCABULARY_CURRENT_ERROR_HPP
#define LULL_VOCABULARY_CURRENT_ERROR_HPP

#include <lull/error.hpp>

#include <string_view>

namespace lull::detail {

/// The exception that is being handled, as an error of ours, whatever was thrown. To be called in a
/// `catch (...)`. Never throws, so that it can stand in front of a rollback: where there is no
/// memory for words, it says so instead.
/// @param foreign the status of what is neither a lull::error nor std::bad_alloc
/// @param context put in front of the message: whose exception it is
[[nodiscard]] error current_error(status foreign, std::string_view context = {}) noexcept;

}  // namespace lull::detail

#endif  // LULL_VOCABULARY_CURRENT_ERROR_HPP
