#ifndef LULL_BACKENDS_COMMON_VENDOR_LIBRARY_HPP
#define LULL_BACKENDS_COMMON_VENDOR_LIBRARY_HPP

#include <initializer_list>
#include <string>
#include <string_view>

namespace lull::backends {

/// A vendor's shared library, found when the program runs. Never unmapped: vendors keep threads,
/// exit handlers and thread-local state of their own.
class vendor_library {
 public:
  vendor_library() = default;

  /// The first of `sonames` that the program has loaded already; else the first that can be loaded.
  /// Prints nothing.
  static vendor_library open(std::initializer_list<const char*> sonames);

  explicit operator bool() const noexcept { return handle_ != nullptr; }
  /// The name it was found by; empty when it was not.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Why it was not found: the names that were tried, and the dynamic linker's words when there is
  /// such a library but it cannot be loaded.
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

  [[nodiscard]] void* symbol(const char* name) const noexcept;

 private:
  void* handle_ = nullptr;
  std::string name_;
  std::string problem_;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_VENDOR_LIBRARY_HPP
