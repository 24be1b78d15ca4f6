#include "model_file.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <system_error>

#include <fmt/format.h>

#include "gguf/writer.hpp"
#include "interrupt.hpp"

namespace lull::demo {
namespace {

/// A file that is removed again unless it is given its final name.
class unfinished_file {
 public:
  explicit unfinished_file(const std::filesystem::path& final_path)
      : final_path_(final_path), path_(final_path.string() + ".part") {}
  ~unfinished_file() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove(path_, ignored);
  }
  unfinished_file(const unfinished_file&) = delete;
  unfinished_file& operator=(const unfinished_file&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  void finish() {
    std::filesystem::rename(path_, final_path_);
    path_.clear();
  }

 private:
  std::filesystem::path final_path_;
  std::filesystem::path path_;
};

}  // namespace

std::uint64_t ensure_model(const std::filesystem::path& path, std::uint64_t bytes,
                           const std::function<void(const std::string& line)>& progress,
                           const std::stop_token& stop, std::uint64_t seed) {
  if (std::filesystem::exists(path)) {
    const std::uint64_t size = std::filesystem::file_size(path);
    progress(fmt::format("using the model {} ({})", path.string(), format_bytes(size)));
    return size;
  }
  progress(fmt::format("making the model {} ({})", path.string(), format_bytes(bytes)));
  unfinished_file file(path);
  unsigned quarters_told = 0;
  gguf::write_model(file.path(), {.total_bytes = bytes, .seed = seed},
                    [&](std::uint64_t done, std::uint64_t total) {
                      throw_if_interrupted(stop);
                      const auto quarters = static_cast<unsigned>(4.0 * static_cast<double>(done) /
                                                                  static_cast<double>(total));
                      if (quarters <= quarters_told) return;
                      quarters_told = quarters;
                      progress(fmt::format("  {} %", quarters * 25));
                    });
  file.finish();
  return std::filesystem::file_size(path);
}

}  // namespace lull::demo
