#ifndef LULL_BACKEND_HPP
#define LULL_BACKEND_HPP

/// @file
/// The kit for authors of modules in C++: makes C operations out of the member functions of a
/// backend class, and reads settings. C++17, header-only; uses only the module ABI and the standard
/// library.
///
/// Exceptions stop here. A member function `void allocate(std::uint32_t device, std::uint64_t
/// bytes, void** address)` becomes `lull_status (*)(lull_backend*, uint32_t, uint64_t, void**,
/// lull_backend_error*)` by `thunk<&my_backend::allocate>`. It reports failure by throwing
/// backend_failure. `group_of` makes the table of a whole group, out of the member functions that
/// have the names of its operations:
///
///     lull_backend_ops table{};
///     table.allocate = &group_of<lull_allocate_ops, my_backend>;

#include <lull/backend.h>
#include <lull/detail/backend_operations.h>
#include <lull/detail/requires_cxx17.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace lull::backends {

/// What a backend throws: becomes the status and the lull_backend_error of the operation.
class backend_failure : public std::exception {
 public:
  backend_failure(lull_status code, std::string_view call, std::int64_t vendor_code,
                  std::string message)
      : code_(code), call_(call), vendor_code_(vendor_code), message_(std::move(message)) {}

  [[nodiscard]] lull_status code() const noexcept { return code_; }
  [[nodiscard]] const std::string& call() const noexcept { return call_; }
  [[nodiscard]] std::int64_t vendor_code() const noexcept { return vendor_code_; }
  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }

 private:
  lull_status code_;
  std::string call_;
  std::int64_t vendor_code_;
  std::string message_;
};

/// Copies text into a fixed field, cut where too long, always zero-terminated.
template <std::size_t Size>
void copy_text(char (&field)[Size], std::string_view text) noexcept {
  const std::size_t length = std::min(text.size(), Size - 1);
  std::memcpy(field, text.data(), length);
  field[length] = '\0';
}

/// Hands a versioned struct back: no more than the caller's `struct_size` says it has room for.
template <class Struct>
void copy_versioned(Struct* out, Struct value) noexcept {
  value.struct_size = out->struct_size;
  std::memcpy(out, &value, std::min<std::size_t>(out->struct_size, sizeof(Struct)));
}

/// Runs `work` and turns what it throws into a status and `error`.
template <class Work>
lull_status guard(lull_backend_error* error, Work&& work) noexcept {
  const auto fail = [error](lull_status code, std::string_view call, std::int64_t vendor_code,
                            std::string_view message) {
    copy_text(error->call, call);
    copy_text(error->message, message);
    error->vendor_code = vendor_code;
    return code;
  };
  try {
    std::forward<Work>(work)();
    return LULL_OK;
  } catch (const backend_failure& failure) {
    return fail(failure.code(), failure.call(), failure.vendor_code(), failure.what());
  } catch (const std::bad_alloc&) {
    return fail(LULL_ERROR_OUT_OF_HOST_MEMORY, "", 0, "out of host memory");
  } catch (const std::exception& failure) {
    return fail(LULL_ERROR_INTERNAL, "", 0, failure.what());
  } catch (...) {
    return fail(LULL_ERROR_INTERNAL, "", 0, "unknown exception");
  }
}

namespace detail {

template <auto Method>
struct method;

template <class Backend, class... Arguments, void (Backend::*Method)(Arguments...)>
struct method<Method> {
  using owner = Backend;

  /// @tparam Self what `self` points to: Backend, or a class that is derived from it
  template <class Self>
  static lull_status call(lull_backend* self, Arguments... arguments,
                          lull_backend_error* error) noexcept {
    return guard(error, [&] { (reinterpret_cast<Self*>(self)->*Method)(arguments...); });
  }
};

}  // namespace detail

/// The C operation for a member function; see the file comment.
/// @tparam Self the class of the backend, where the member function is one of its base's
template <auto Method, class Self = typename detail::method<Method>::owner>
inline constexpr auto thunk = &detail::method<Method>::template call<Self>;

namespace detail {

template <class Ops, class Backend>
constexpr Ops make_group() noexcept {
  Ops group{};
  group.struct_size = sizeof(Ops);
#define LULL_SET_VERSION(of, OF) \
  if constexpr (std::is_same_v<Ops, lull_##of##_ops>) group.version = LULL_##OF##_OPS_VERSION;
#define LULL_SET_OPERATION(of, name) \
  if constexpr (std::is_same_v<Ops, lull_##of##_ops>) group.name = thunk<&Backend::name, Backend>;
  LULL_BACKEND_OPERATIONS(LULL_SET_VERSION, LULL_SET_OPERATION)
#undef LULL_SET_OPERATION
#undef LULL_SET_VERSION
  return group;
}

}  // namespace detail

/// The table of a group over a class that has a member function for each of its operations, by the
/// same names; see the file comment. Lives as long as the module.
template <class Ops, class Backend>
inline constexpr Ops group_of = detail::make_group<Ops, Backend>();

/// Calls `accept(key, value)` for each setting; when it returns false the setting is unknown.
/// @throws backend_failure that names the settings there are
template <class Accept>
void read_settings(const lull_backend_setting* settings, std::uint64_t count,
                   std::string_view backend, std::string_view known, Accept&& accept) {
  for (std::uint64_t i = 0; i < count; ++i) {
    if (accept(std::string_view{settings[i].key}, std::string_view{settings[i].value})) continue;
    std::string message{backend};
    message += " has no setting '";
    message += settings[i].key;
    message += known.empty() ? "'; it has none" : "'; it has: ";
    message += known;
    throw backend_failure(LULL_ERROR_INVALID_ARGUMENT, "", 0, message);
  }
}

/// A module's score: 10 when `find_problem` finds nothing, else 0 with what it says. Nothing
/// escapes.
template <class FindProblem>
std::int32_t score_from(FindProblem&& find_problem, char* reason,
                        std::uint64_t reason_size) noexcept {
  lull_backend_error failure{};
  std::string problem;
  if (guard(&failure, [&] { problem = find_problem(); }) != LULL_OK) problem = failure.message;
  if (problem.empty()) return 10;
  if (reason_size != 0) reason[problem.copy(reason, reason_size - 1)] = '\0';
  return 0;
}

}  // namespace lull::backends

#endif  // LULL_BACKEND_HPP
