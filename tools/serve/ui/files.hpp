#ifndef TOOLS_SERVE_UI_FILES_HPP
#define TOOLS_SERVE_UI_FILES_HPP

/// @file
/// The page at /ui, which is part of the program.

#include <string_view>

namespace lull::serve::ui {

/// A file of the page.
struct file {
  std::string_view path;  ///< "/ui/page.js"
  std::string_view type;  ///< for Content-Type
  std::string_view bytes;
};

/// The file at a path, or null. `/ui` itself has to be redirected to `/ui/`, since the page names
/// its files, and the routes that it asks, relative to that.
const file* find_file(std::string_view path) noexcept;

/// Content-Security-Policy of these files: nothing from elsewhere, no code that came as text, and
/// no page around it.
inline constexpr std::string_view content_security_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace lull::serve::ui

#endif  // TOOLS_SERVE_UI_FILES_HPP
