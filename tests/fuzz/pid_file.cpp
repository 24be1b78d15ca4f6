// Pid files and what /proc says: whatever is there, a number that is used is one that was read.

#include "process/pid_file.hpp"

#include <string>
#include <string_view>

#include "expect.hpp"
#include "process/proc_stat.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), count);
  if (const auto record = lull::detail::parse_pid_record(text)) {
    expect(record->child.id > 0 && record->parent.id > 0, "nobody has an id of 0 or below");
    expect(lull::detail::parse_pid_record(lull::detail::to_text(*record)) == record,
           "a record that was read can be written");
  }
  static_cast<void>(lull::detail::parse_proc_stat(text));
  static_cast<void>(lull::detail::is_pid_file_name(text));
  return 0;
}
