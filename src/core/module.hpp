#ifndef LULL_CORE_MODULE_HPP
#define LULL_CORE_MODULE_HPP

#include <lull/registry.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "core/device_state.hpp"

namespace lull::detail {

/// Which file this is, whatever the path it was reached by.
struct file_identity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  friend bool operator==(const file_identity&, const file_identity&) = default;
};

/// A module on its way into the registry, and in it.
struct module_entry {
  module_info info;
  std::optional<file_identity> file;  ///< absent for what is linked into the program
  /// Set from loading to opening or giving up.
  std::optional<ops_table> table;
  shared_object library;
  /// Set while active.
  std::vector<std::shared_ptr<device_state>> devices;

  [[nodiscard]] bool can_open() const noexcept { return table.has_value(); }
};

/// @return nothing when there is no such file
std::optional<file_identity> identify(const std::filesystem::path& file) noexcept;

/// Loads a module file up to its score. Never throws for a bad module: then the entry is `refused`
/// or `unusable` and says why.
module_entry load_module(const std::filesystem::path& file);

/// The same for a table that is linked into the program.
module_entry wrap_static(const lull_backend_ops& ops);

/// An entry for a place that was named and has no module to load.
module_entry refused_module(std::filesystem::path place, std::string reason);

/// Opens the backend of a loaded module and describes its devices; the entry becomes `active`.
/// @throws error as the backend reports it
void open_module(module_entry& entry, const std::vector<backend_setting>& settings);

/// Whether something was refused only because descriptors or memory were short just then.
[[nodiscard]] bool is_for_want_of_means(std::string_view reason);

/// Lets go of the module's code and remembers why.
void set_aside(module_entry& entry, module_state state, std::string reason);

}  // namespace lull::detail

#endif  // LULL_CORE_MODULE_HPP
