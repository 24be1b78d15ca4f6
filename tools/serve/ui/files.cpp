#include "files.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace lull::serve::ui {
namespace {

#include "file_bytes.inc"

template <std::size_t Count>
std::string_view text(const unsigned char (&bytes)[Count]) noexcept {
  return {reinterpret_cast<const char*>(bytes), Count};
}

}  // namespace

const file* find_file(std::string_view path) noexcept {
  static const std::array<file, 4> all{{
      {"/ui/", "text/html; charset=utf-8", text(index_html)},
      {"/ui/style.css", "text/css; charset=utf-8", text(style_css)},
      {"/ui/page.js", "text/javascript; charset=utf-8", text(page_js)},
      {"/ui/icon.svg", "image/svg+xml", text(icon_svg)},
  }};
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const file& each) { return each.path == path; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace lull::serve::ui
