#ifndef LULL_BACKENDS_COMMON_VENDOR_FN_HPP
#define LULL_BACKENDS_COMMON_VENDOR_FN_HPP

/// @file
/// A vendor's function that is looked up by name when the program runs. The name is part of the
/// type, so a failed call can say what failed, and the signature is taken from the vendor's header,
/// so that a wrong call does not compile. It is looked up as one of a group:
///
///     symbol_group events{runtime};
///     vendor_fn<"cudaEventQuery", decltype(::cudaEventQuery)> event_query{events};
///
/// A group that lacks a function is false, and none of it is called.

#include <algorithm>
#include <cstddef>

#include "common/vendor_library.hpp"

namespace lull::backends {

/// Functions of one library that are there together or not at all.
class symbol_group {
 public:
  /// @param library outlives the group
  explicit symbol_group(const vendor_library& library) noexcept : library_(library) {}

  /// Whether all that were asked for are there.
  explicit operator bool() const noexcept { return missing_ == nullptr; }
  /// The first that is missing; null when all are there.
  [[nodiscard]] const char* missing() const noexcept { return missing_; }

  void* look_up(const char* name, const char* other) noexcept {
    void* found = library_.symbol(name);
    if (found == nullptr && other != nullptr) found = library_.symbol(other);
    if (found == nullptr && missing_ == nullptr) missing_ = name;
    return found;
  }

 private:
  const vendor_library& library_;
  const char* missing_ = nullptr;
};

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

  /// @param other what it is called where it does not have its name; null: nothing else
  explicit vendor_fn(symbol_group& group, const char* other = nullptr) noexcept
      : address(reinterpret_cast<Result (*)(Arguments...)>(group.look_up(name, other))) {}

  Result operator()(Arguments... arguments) const { return address(arguments...); }

  Result (*address)(Arguments...);
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_VENDOR_FN_HPP
