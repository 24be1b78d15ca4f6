#ifndef LULL_PROCESS_PID_FILE_HPP
#define LULL_PROCESS_PID_FILE_HPP

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace lull::detail {

/// What tells a process from all others of its boot and pid namespace.
struct process_identity {
  int id = 0;
  std::uint64_t start_ticks = 0;

  friend bool operator==(const process_identity&, const process_identity&) = default;
};

/// Absent when there is no such process.
std::optional<process_identity> identity_of(int id);
/// Whether it runs; a zombie does not.
bool is_alive(const process_identity& who);

/// The contents of a pid file.
struct pid_record {
  process_identity child;
  process_identity parent;
  std::string boot_id;
  std::string pid_namespace;
  std::string command;  ///< one line

  friend bool operator==(const pid_record&, const pid_record&) = default;
};

/// A record of a child of this process.
/// @throws error (io) when /proc does not say who it is
pid_record record_of_child(int id, std::string command);

std::string to_text(const pid_record& record);
/// Absent when the text is no whole record.
std::optional<pid_record> parse_pid_record(std::string_view text);

/// Whether a name is that of a finished pid file.
bool is_pid_file_name(std::string_view name);

/// A pid file that this process has written; removed with the object. Move-only.
class pid_file {
 public:
  pid_file() = default;
  /// Writes the file as a whole: whoever looks sees all of it or nothing. The directory is made
  /// when it is missing. The name holds id and start time, so no two processes share one.
  /// @throws error (io)
  pid_file(const std::filesystem::path& directory, const pid_record& record);
  pid_file(pid_file&& other) noexcept;
  pid_file& operator=(pid_file&& other) noexcept;
  ~pid_file();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  void remove() noexcept;
  /// Leaves the file where it is.
  void keep() noexcept { path_.clear(); }

 private:
  std::filesystem::path path_;
};

}  // namespace lull::detail

#endif  // LULL_PROCESS_PID_FILE_HPP
