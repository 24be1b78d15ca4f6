#include "core/module_search.hpp"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <system_error>

#include "vocabulary/folder.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view file_prefix = "liblull-backend-";
constexpr std::string_view file_suffix = ".so";

bool is_module_name(const std::string& name) {
  return name.size() > file_prefix.size() + file_suffix.size() && name.starts_with(file_prefix) &&
         name.ends_with(file_suffix);
}

class search_result {
 public:
  /// A place that somebody named: a problem if it is not there.
  void add_named(const fs::path& place) {
    std::error_code failed;
    const fs::path canonical = fs::canonical(place, failed);
    if (failed) {
      problem(place, failed.message());
    } else if (fs::is_directory(canonical, failed)) {
      add_directory(canonical);
    } else {
      add_file(canonical);
    }
  }

  /// The module files of a directory, by name. A directory that is not there has none.
  void add_directory(const fs::path& directory) {
    std::vector<fs::path> files;
    detail::folder in(directory.c_str());
    for (std::string_view name = in.next(); !name.empty(); name = in.next()) {
      if (is_module_name(std::string(name))) files.push_back(directory / name);
    }
    if (in.error() != 0 && in.error() != ENOENT && in.error() != ENOTDIR) {
      problem(directory, std::generic_category().message(in.error()));
    }
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) add_named(file);
  }

  void problem(const fs::path& place, std::string reason) {
    files_.problems.push_back({place, std::move(reason)});
  }

  module_files take() { return std::move(files_); }

 private:
  void add_file(const fs::path& canonical) {
    if (std::find(files_.found.begin(), files_.found.end(), canonical) == files_.found.end()) {
      files_.found.push_back(canonical);
    }
  }

  module_files files_;
};

/// The directory of the shared library, or of the program when linked statically.
std::optional<fs::path> own_directory() {
  static const char anchor = 0;
  Dl_info info{};
  if (::dladdr(&anchor, &info) == 0 || info.dli_fname == nullptr) return std::nullopt;
  fs::path file = info.dli_fname;
  if (file.is_relative()) {
    // The linker reports the program by argv[0], which says nothing about where it is. Any other
    // relative name would be resolved against the current directory, which is never searched.
    if (file != program_invocation_name) return std::nullopt;
    file = "/proc/self/exe";
  }
  std::error_code failed;
  const fs::path canonical = fs::canonical(file, failed);
  return failed ? std::nullopt : std::optional{canonical.parent_path()};
}

void add_environment(search_result& result) {
  // Null in set-user-ID programs: the environment is the invoker's, the privileges are not.
  const char* const list = ::secure_getenv("LULL_BACKEND_PATH");
  if (list == nullptr) return;
  std::string_view rest = list;
  while (!rest.empty()) {
    const auto colon = rest.find(':');
    const fs::path place = rest.substr(0, colon);
    rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
    // An empty element means the current directory elsewhere; here it means nothing.
    if (place.empty()) continue;
    if (place.is_absolute()) {
      result.add_named(place);
    } else {
      result.problem(place, "LULL_BACKEND_PATH takes absolute paths only");
    }
  }
}

}  // namespace

module_files find_module_files(const std::vector<fs::path>& named, bool search) {
  search_result result;
  for (const fs::path& place : named) result.add_named(place);
  if (search) {
    add_environment(result);
    if (const auto own = own_directory()) {
      result.add_directory(*own);
      result.add_directory(*own / "lull");  // installed, perhaps elsewhere than it was built for
    }
    result.add_directory(LULL_INSTALLED_MODULE_DIR);
  }
  return result.take();
}

}  // namespace lull::detail
