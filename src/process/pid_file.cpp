#include "process/pid_file.hpp"

#include <lull/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "process/own_file.hpp"
#include "process/proc_stat.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view header = "lull-pid 1";
constexpr std::string_view name_prefix = "lull-";
constexpr std::string_view name_suffix = ".pid";

/// Takes a number off the front of a text. @return false when there is none
template <class Number>
bool take_number(std::string_view& text, Number& number) {
  const char* const end = text.data() + text.size();
  const auto [stopped, failed] = std::from_chars(text.data(), end, number);
  text = {stopped, static_cast<std::size_t>(end - stopped)};
  return failed == std::errc{};
}

/// "id start_ticks"
bool read_identity(std::string_view text, process_identity& who) {
  if (!take_number(text, who.id) || !text.starts_with(' ')) return false;
  text.remove_prefix(1);
  return take_number(text, who.start_ticks) && text.empty() && who.id > 0;
}

}  // namespace

std::optional<process_identity> identity_of(int id) {
  const auto now = read_proc_stat(id);
  if (!now) return {};
  return process_identity{now->id, now->start_ticks};
}

bool is_alive(const process_identity& who) {
  const auto now = read_proc_stat(who.id);
  return now && now->alive() && now->start_ticks == who.start_ticks;
}

pid_record record_of_child(int id, std::string command) {
  const auto child = identity_of(id);
  const auto parent = identity_of(::getpid());
  pid_record record{child.value_or(process_identity{}), parent.value_or(process_identity{}),
                    read_boot_id(), read_pid_namespace(), one_line(std::move(command))};
  if (!child || !parent || record.boot_id.empty() || record.pid_namespace.empty()) {
    fail(status::io, "pid file of process {}: /proc does not say which process it is", id);
  }
  return record;
}

std::string to_text(const pid_record& record) {
  return text("{}\nchild {} {}\nparent {} {}\nboot {}\nnamespace {}\ncommand {}\nend\n", header,
              record.child.id, record.child.start_ticks, record.parent.id,
              record.parent.start_ticks, record.boot_id, record.pid_namespace, record.command);
}

std::optional<pid_record> parse_pid_record(std::string_view text) {
  pid_record record;
  const auto next_line = [&text]() -> std::optional<std::string_view> {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    return line;
  };
  if (next_line() != header) return {};
  bool has_child = false;
  bool has_parent = false;
  while (const auto line = next_line()) {
    if (line == "end") {
      const bool whole =
          has_child && has_parent && !record.boot_id.empty() && !record.pid_namespace.empty();
      return whole && text.empty() ? std::optional(record) : std::nullopt;
    }
    const std::size_t space = std::min(line->find(' '), line->size());
    const std::string_view key = line->substr(0, space);
    const std::string_view value = line->substr(std::min(space + 1, line->size()));
    // 0 and -1 mean groups to kill(2), and the group of 1 is everybody.
    if (key == "child") has_child = read_identity(value, record.child) && record.child.id > 1;
    if (key == "parent") has_parent = read_identity(value, record.parent);
    if (key == "boot") record.boot_id = value;
    if (key == "namespace") record.pid_namespace = value;
    if (key == "command") record.command = value;
  }
  return {};
}

bool is_pid_file_name(std::string_view name) {
  return name.starts_with(name_prefix) && name.ends_with(name_suffix);
}

pid_file::pid_file(const fs::path& directory, const pid_record& record)
    : path_(write_own_file(
          directory,
          text("{}{}-{}{}", name_prefix, record.child.id, record.child.start_ticks, name_suffix),
          to_text(record))) {}

pid_file::pid_file(pid_file&& other) noexcept : path_(std::exchange(other.path_, {})) {}

pid_file& pid_file::operator=(pid_file&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

pid_file::~pid_file() {
  remove();
}

void pid_file::remove() noexcept {
  if (path_.empty()) return;
  ::unlink(path_.c_str());
  path_.clear();
}

}  // namespace lull::detail
