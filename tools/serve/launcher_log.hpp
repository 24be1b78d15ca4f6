#ifndef TOOLS_SERVE_LAUNCHER_LOG_HPP
#define TOOLS_SERVE_LAUNCHER_LOG_HPP

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace lull::serve {

/// Bytes of a log, both ends included.
struct byte_range {
  std::uint64_t first = 0;
  std::optional<std::uint64_t> last = {};
};
/// "bytes=100-199" or "bytes=100-".
/// @throws std::invalid_argument
[[nodiscard]] byte_range parse_range(std::string_view header);

/// All that an instance wrote, in a file without a name, so that nothing is left of it. Of what is
/// longer than `kept_bytes` the beginning is given up.
class launcher_log {
 public:
  static constexpr std::uint64_t kept_bytes = std::uint64_t{64} << 20;
  static constexpr std::size_t answer_bytes = std::size_t{1} << 20;

  /// @throws error (io)
  explicit launcher_log(const std::filesystem::path& folder, std::uint64_t kept = kept_bytes);
  ~launcher_log();
  launcher_log(const launcher_log&) = delete;
  launcher_log& operator=(const launcher_log&) = delete;

  /// What does not go into the file, as when the disk is full, is lost.
  void add(std::string_view text) noexcept;
  [[nodiscard]] std::uint64_t total_bytes() const noexcept { return total_; }
  /// The first byte that is still there.
  [[nodiscard]] std::uint64_t first_byte() const noexcept { return first_; }
  /// At most `answer_bytes`; empty where the beginning is not there.
  [[nodiscard]] std::string read(const byte_range& what) const;

 private:
  int file_ = -1;
  std::uint64_t kept_;
  std::uint64_t first_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_LAUNCHER_LOG_HPP
