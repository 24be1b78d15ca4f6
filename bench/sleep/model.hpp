#ifndef BENCH_SLEEP_MODEL_HPP
#define BENCH_SLEEP_MODEL_HPP

#include <lull/lull.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace sleep_bench {

/// As a model's tensors: mostly large ones, and many small ones between them.
std::vector<std::uint64_t> mixed_sizes(std::uint64_t total_bytes, std::uint64_t scale);

/// Regions whose bytes tell where they belong, of one tag or two.
class model {
 public:
  enum class kind { plain, from_callback, from_file };

  /// @param file that the regions are filled from, as contents_file writes it
  model(const lull::device& where, lull::memory& memory, const std::vector<std::uint64_t>& sizes,
        kind what, const std::string& tag, const std::filesystem::path& file_path = {});
  /// @throws std::runtime_error when a region has not what was in it
  void check();

  static std::byte value_of(std::size_t number) { return static_cast<std::byte>(number % 251 + 1); }

 private:
  lull::device where_;
  std::vector<lull::region> regions_;
};

/// A file of a model's contents, away with the object.
class contents_file {
 public:
  contents_file(const std::string& directory, const std::vector<std::uint64_t>& sizes);
  ~contents_file() { std::filesystem::remove(path_); }
  contents_file(const contents_file&) = delete;
  contents_file& operator=(const contents_file&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace sleep_bench

#endif  // BENCH_SLEEP_MODEL_HPP
