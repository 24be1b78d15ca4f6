#include "process/suspend_record.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

#include "process/own_file.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

using std::chrono::system_clock;

constexpr std::string_view record_header = "lull-suspended 1";
constexpr std::string_view record_prefix = "lull-";
constexpr std::string_view record_suffix = ".suspended";
constexpr std::string_view not_known = "unknown";

std::string figure(const std::optional<std::uint64_t>& bytes) {
  return bytes ? std::to_string(*bytes) : std::string(not_known);
}

/// The next word of a line; empty at its end.
std::string_view take_word(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

template <class Number>
bool take_whole(std::string_view& line, Number& number) {
  const std::string_view word = take_word(line);
  const char* const end = word.data() + word.size();
  const auto [stopped, failed] = std::from_chars(word.data(), end, number);
  return failed == std::errc{} && stopped == end && !word.empty();
}

bool take_figure(std::string_view& line, std::optional<std::uint64_t>& bytes) {
  if (line == not_known) return true;
  return take_whole(line, bytes.emplace());
}

/// @return false when the line of `key` is none; lines of a later version pass
bool read_line(std::string_view key, std::string_view line, suspend_record& record) {
  suspended_process& which = record.process;
  if (key == "process") return take_whole(line, which.id) && take_whole(line, which.start_ticks);
  if (key == "by") return take_whole(line, which.by_user) && take_whole(line, which.by_process);
  if (key == "host") return take_figure(line, which.host_bytes);
  if (key == "since") {
    constexpr std::uint64_t latest = 9'000'000'000;  // what nanoseconds in 64 bits can say
    std::uint64_t moment = 0;
    const bool good = take_whole(line, moment) && moment <= latest;
    if (good) which.since = system_clock::time_point(std::chrono::seconds{moment});
    return good;
  }
  if (key == "device") {
    suspended_part part;
    part.device = take_word(line);
    const bool good = !part.device.empty() && take_figure(line, part.bytes);
    which.parts.push_back(std::move(part));
    return good;
  }
  if (key == "lost") which.state = gpu_state::lost;
  if (key == "boot") record.boot_id = line;
  if (key == "namespace") record.pid_namespace = line;
  if (key == "command") which.command = line;
  return true;
}

}  // namespace

std::string to_text(const suspend_record& record) {
  const suspended_process& which = record.process;
  const auto since =
      std::chrono::duration_cast<std::chrono::seconds>(which.since.time_since_epoch()).count();
  std::string all =
      text("{}\nprocess {} {}\nby {} {}\nsince {}\nhost {}\n", record_header, which.id,
           which.start_ticks, which.by_user, which.by_process, since, figure(which.host_bytes));
  for (const suspended_part& each : which.parts) {
    all += text("device {} {}\n", each.device, figure(each.bytes));
  }
  if (which.state == gpu_state::lost) all += "lost\n";
  return all + text("boot {}\nnamespace {}\ncommand {}\nend\n", record.boot_id,
                    record.pid_namespace, one_line(which.command));
}

std::optional<suspend_record> parse_suspend_record(std::string_view text) {
  suspend_record record;
  record.process.recorded = true;
  bool first = true;
  while (true) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (std::exchange(first, false)) {
      if (line != record_header) return {};
    } else if (line == "end") {
      break;
    } else {
      const std::string_view key = take_word(line);
      if (!read_line(key, line, record)) return {};
    }
  }
  const bool whole =
      record.process.id > 1 && !record.boot_id.empty() && !record.pid_namespace.empty();
  return whole && text.empty() ? std::optional(std::move(record)) : std::nullopt;
}

bool is_suspend_file_name(std::string_view name) {
  return name.size() > record_prefix.size() + record_suffix.size() &&
         name.substr(0, record_prefix.size()) == record_prefix &&
         name.substr(name.size() - record_suffix.size()) == record_suffix;
}

std::string suspend_file_name(const suspended_process& which) {
  return text("{}{}-{}{}", record_prefix, which.id, which.start_ticks, record_suffix);
}

}  // namespace lull::detail
