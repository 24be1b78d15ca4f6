#ifndef LULL_CORE_SHARED_OBJECT_HPP
#define LULL_CORE_SHARED_OBJECT_HPP

#include <filesystem>
#include <memory>

namespace lull::detail {

/// A shared object that is open. Empty for what is linked into the program. Closed with the last
/// copy.
class shared_object {
 public:
  shared_object() = default;
  /// Opens with RTLD_NOW | RTLD_LOCAL.
  /// @param file absolute: a bare name would be looked up on the system's library path
  /// @throws error (bad_module) with the dynamic linker's words
  explicit shared_object(const std::filesystem::path& file);

  /// The address of a symbol, null when there is none.
  [[nodiscard]] void* symbol(const char* name) const noexcept;

 private:
  std::shared_ptr<void> handle_;
};

}  // namespace lull::detail

#endif  // LULL_CORE_SHARED_OBJECT_HPP
