#ifndef LULL_PROCESS_OWN_FILE_HPP
#define LULL_PROCESS_OWN_FILE_HPP

#include <lull/log.hpp>

#include <filesystem>
#include <optional>
#include <string>

namespace lull::detail {

/// Small files in which this user's programs tell each other of processes.

/// Makes the directory, for this user alone, when it is missing, and what is above it.
/// @throws error (io)
void make_own_directory(const std::filesystem::path& directory);

/// Writes the file as a whole: whoever looks sees all of it or nothing. The directory is made
/// when it is missing.
/// @return its path
/// @throws error (io)
std::filesystem::path write_own_file(const std::filesystem::path& directory,
                                     const std::string& name, const std::string& text);

/// The text of a file that this user wrote and nobody else could: it says what may be done to which
/// process. Absent, and logged, when it is another's or cannot be read.
std::optional<std::string> read_own_file(const std::filesystem::path& path, const log_sink& log);

/// A line break in a command would look like another member of the file.
std::string one_line(std::string text);

}  // namespace lull::detail

#endif  // LULL_PROCESS_OWN_FILE_HPP
