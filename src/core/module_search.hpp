#ifndef LULL_CORE_MODULE_SEARCH_HPP
#define LULL_CORE_MODULE_SEARCH_HPP

#include <filesystem>
#include <string>
#include <vector>

namespace lull::detail {

/// A place that was named and cannot be used.
struct search_problem {
  std::filesystem::path path;
  std::string reason;
};

struct module_files {
  std::vector<std::filesystem::path> found;  ///< canonical, each once, in the order of the search
  std::vector<search_problem> problems;
};

/// The module files in the places that `registry` documents, in their order.
/// @param named files, or directories of module files; relative ones are seen from the current
///        directory, since the caller named them
/// @param search whether to look in the other places too
module_files find_module_files(const std::vector<std::filesystem::path>& named, bool search);

}  // namespace lull::detail

#endif  // LULL_CORE_MODULE_SEARCH_HPP
