#ifndef LULL_PROCESS_SUSPEND_RECORD_HPP
#define LULL_PROCESS_SUSPEND_RECORD_HPP

#include <lull/suspend.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace lull::detail {

/// What stands in the file of a suspended process: it, and where its ids mean something.
struct suspend_record {
  suspended_process process;
  std::string boot_id;
  std::string pid_namespace;
};

std::string to_text(const suspend_record& record);
/// Absent when the text is no whole record.
std::optional<suspend_record> parse_suspend_record(std::string_view text);

/// Whether a name is that of a finished file.
bool is_suspend_file_name(std::string_view name);
/// The name for a process.
std::string suspend_file_name(const suspended_process& which);

}  // namespace lull::detail

#endif  // LULL_PROCESS_SUSPEND_RECORD_HPP
