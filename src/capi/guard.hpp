#ifndef LULL_CAPI_GUARD_HPP
#define LULL_CAPI_GUARD_HPP

#include <lull/error.hpp>
#include <lull/lull.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "vocabulary/current_error.hpp"
#include "vocabulary/fork.hpp"

namespace lull::capi {

/// Keeps an error as this thread's last one. @return its code
lull_status remember(const error& failure) noexcept;
/// This thread's last error; null when there was none.
const error* last_remembered() noexcept;

/// Runs `work`; what it throws becomes a status and this thread's last error.
template <class Work>
lull_status guard(Work&& work) noexcept {
  try {
    detail::expect_same_process();
    std::forward<Work>(work)();
    return LULL_OK;
  } catch (...) {
    return remember(detail::current_error(status::internal));
  }
}

/// A parameter that must not be null.
template <class Value>
Value& required(Value* value, const char* name) {
  if (value == nullptr) {
    throw error(status::invalid_argument, std::string(name) + " is null");
  }
  return *value;
}

inline std::string_view text_or_empty(const char* text) noexcept {
  return text != nullptr ? std::string_view{text} : std::string_view{};
}

/// Copies text into a fixed field, cut where too long.
template <std::size_t Size>
void set_text(char (&field)[Size], std::string_view text) noexcept {
  const std::size_t length = std::min(text.size(), Size - 1);
  std::memcpy(field, text.data(), length);
  field[length] = '\0';
}

[[noreturn]] void reject_struct_size(const char* name, std::size_t size, std::size_t known);

/// Whether a struct can be so large: it was initialized, and is that of some version of ours. One
/// that was not is not to be read until it ends.
template <class Struct>
constexpr bool can_be_size_of(std::size_t size) noexcept {
  constexpr std::size_t largest = 4096;  // far more than any will have
  return size > offsetof(Struct, struct_size) + sizeof(std::size_t) && size <= largest &&
         size % alignof(std::int32_t) == 0;
}

/// Reads an options struct of any version: what the caller's lacks keeps the value in `defaults`.
/// @param given null: all defaults
template <class Struct>
Struct read_versioned(const Struct* given, Struct defaults, const char* name) {
  if (given == nullptr) return defaults;
  const std::size_t size = given->struct_size;
  if (!can_be_size_of<Struct>(size)) reject_struct_size(name, size, sizeof(Struct));
  if (size > sizeof(Struct)) {
    const auto* const bytes = reinterpret_cast<const unsigned char*>(given);
    if (std::any_of(bytes + sizeof(Struct), bytes + size, [](unsigned char b) { return b != 0; })) {
      reject_struct_size(name, size, sizeof(Struct));
    }
  }
  std::memcpy(&defaults, given, std::min(size, sizeof(Struct)));
  return defaults;
}

/// For a result that is written after something has happened: what is wrong with the struct must be
/// known before.
template <class Struct>
void expect_versioned(const Struct* out, const char* name) {
  const std::size_t size = required(out, name).struct_size;
  if (!can_be_size_of<Struct>(size)) reject_struct_size(name, size, sizeof(Struct));
}

/// Writes a result into a struct of any version: no more than the caller has room for.
template <class Struct>
void write_versioned(Struct* out, Struct value, const char* name) {
  expect_versioned(out, name);
  const std::size_t size = out->struct_size;
  value.struct_size = size;
  std::memcpy(out, &value, std::min(size, sizeof(Struct)));
}

}  // namespace lull::capi

#endif  // LULL_CAPI_GUARD_HPP
