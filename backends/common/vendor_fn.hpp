#ifndef LULL_BACKENDS_COMMON_VENDOR_FN_HPP
#define LULL_BACKENDS_COMMON_VENDOR_FN_HPP

/// @file
/// A vendor's function that is looked up by name when the program runs. The name is part of the type,
/// so a failed call can say what failed, and the signature is taken from the vendor's header, so that
/// a wrong call does not compile:
///
///     vendor_fn<"cudaFree", decltype(::cudaFree)> free;
///
/// `bind(library, f, g, ...)` looks up a group of them.

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "common/vendor_library.hpp"

namespace lull::backends {

/// Text as a template argument.
template <std::size_t Size>
struct symbol_name {
  constexpr symbol_name(const char (&from)[Size]) { std::copy_n(from, Size, text); }
  char text[Size];
};

template <symbol_name Name, class Signature>
struct vendor_fn;

template <symbol_name Name, class Result, class... Arguments>
struct vendor_fn<Name, Result(Arguments...)> {
  static constexpr const char* name = Name.text;

  Result (*address)(Arguments...) = nullptr;

  explicit operator bool() const noexcept { return address != nullptr; }
  Result operator()(Arguments... arguments) const { return address(arguments...); }

  /// @return whether the library has it
  bool look_up(const vendor_library& library) {
    address = reinterpret_cast<Result (*)(Arguments...)>(library.symbol(name));
    return address != nullptr;
  }
};

/// Looks up all of `functions`, and none of them if one is missing.
/// @return the name of the first that is missing; null when all are there
template <class... Functions>
const char* bind(const vendor_library& library, Functions&... functions) {
  const char* missing = nullptr;
  const auto look_up = [&](auto& function) {
    if (!function.look_up(library) && missing == nullptr) missing = function.name;
  };
  (look_up(functions), ...);
  if (missing != nullptr) ((functions.address = nullptr), ...);
  return missing;
}

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_VENDOR_FN_HPP
