#include "process/proc_stat.hpp"

#include <lull/error.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <system_error>
#include <thread>

#include "vocabulary/folder.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

template <class Number>
bool to_number(std::string_view text, Number& number) {
  const char* const end = text.data() + text.size();
  const auto [stopped, failed] = std::from_chars(text.data(), end, number);
  return failed == std::errc{} && stopped == end && !text.empty();
}

bool is_recorded_process(int id, std::uint64_t start_ticks) {
  const auto now = read_proc_stat(id);
  return now && now->alive() && now->start_ticks == start_ticks;
}

/// As is_recorded_process; also where that cannot be seen.
bool may_be_recorded_process(int id, std::uint64_t start_ticks) noexcept {
  try {
    return is_recorded_process(id, start_ticks);
  } catch (...) {
    return true;
  }
}

/// Whether a call failed for want of something that others have now.
bool is_shortage(int code) noexcept {
  return code == EMFILE || code == ENFILE || code == ENOMEM;
}

[[noreturn]] void throw_cannot_look(const std::string& what, int code) {
  fail_call(status::io, "open", code, text("{} cannot be looked at now", what));
}

/// Poll's wait until a moment: 0 when it has passed, never longer than a day.
int poll_time_ms(time_point deadline) {
  const auto left = deadline - steady_clock().now();
  if (left <= duration::zero()) return 0;
  return static_cast<int>(
      std::min(std::chrono::ceil<milliseconds>(left), milliseconds{std::chrono::hours{24}})
          .count());
}

}  // namespace

std::optional<proc_stat> parse_proc_stat(std::string_view text) {
  // "id (name) state parent group ...": the name may hold spaces and brackets, so count from its
  // last bracket. The fields after it are numbered from 3, as in proc(5).
  constexpr std::size_t first_field = 3;
  constexpr std::size_t state_field = 3;
  constexpr std::size_t parent_field = 4;
  constexpr std::size_t group_field = 5;
  constexpr std::size_t threads_field = 20;
  constexpr std::size_t start_field = 22;

  const std::size_t open = text.find(" (");
  const std::size_t close = text.rfind(") ");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return {};
  std::array<std::string_view, start_field + 1> fields{};
  std::string_view rest = text.substr(close + 2);
  for (std::size_t field = first_field; field <= start_field; ++field) {
    const std::size_t end = std::min(rest.find_first_of(" \n"), rest.size());
    fields[field] = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  proc_stat result;
  const bool good = fields[state_field].size() == 1 && to_number(text.substr(0, open), result.id) &&
                    to_number(fields[parent_field], result.parent) &&
                    to_number(fields[group_field], result.group) &&
                    to_number(fields[threads_field], result.threads) &&
                    to_number(fields[start_field], result.start_ticks);
  if (!good) return {};
  result.state = fields[state_field].front();
  return result;
}

std::optional<proc_stat> read_proc_stat(int id) {
  const std::string path = text("/proc/{}/stat", id);
  const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && is_shortage(errno)) throw_cannot_look(path, errno);
  return parse_proc_stat(read_rest(file));
}

std::vector<proc_stat> living_processes() {
  std::vector<proc_stat> all;
  folder processes("/proc");
  for (std::string_view name = processes.next(); !name.empty(); name = processes.next()) {
    int id = 0;
    if (!to_number(name, id)) continue;
    const auto process = read_proc_stat(id);
    if (process && process->alive()) all.push_back(*process);
  }
  if (is_shortage(processes.error())) throw_cannot_look("/proc", processes.error());
  return all;
}

std::vector<proc_stat> living_members(int group) {
  std::vector<proc_stat> members = living_processes();
  std::erase_if(members, [group](const proc_stat& each) { return each.group != group; });
  return members;
}

std::vector<proc_stat> living_tree(int top, bool descendants) {
  std::vector<proc_stat> tree;
  const auto first = read_proc_stat(top);
  if (!first || !first->alive()) return tree;
  tree.push_back(*first);
  if (!descendants) return tree;
  const std::vector<proc_stat> all = living_processes();
  for (std::size_t i = 0; i < tree.size(); ++i) {
    const int parent = tree[i].id;
    for (const proc_stat& each : all) {
      // Read one after the other: an id may have been given away meanwhile, and seem its own
      // ancestor.
      const bool known = std::any_of(tree.begin(), tree.end(),
                                     [&](const proc_stat& other) { return other.id == each.id; });
      if (each.parent == parent && !known) tree.push_back(each);
    }
  }
  return tree;
}

std::optional<proc_status> read_proc_status(int id) {
  const std::string all = read_small_file(text("/proc/{}/status", id).c_str());
  std::string_view rest = all;
  proc_status status;
  std::optional<std::uint64_t> resident_kib;
  std::uint64_t swapped_kib = 0;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t colon = std::min(line.find(":\t"), line.size());
    const std::string_view key = line.substr(0, colon);
    line.remove_prefix(std::min(colon + 2, line.size()));
    if (key == "Name") status.name = line;
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    line = line.substr(0, line.find_first_of(" \t"));
    if (key == "Uid" && !to_number(line, status.user)) return {};
    if (key == "VmRSS" && !to_number(line, resident_kib.emplace())) return {};
    if (key == "VmSwap" && !to_number(line, swapped_kib)) return {};
  }
  if (status.name.empty()) return {};
  if (resident_kib) status.host_bytes = (*resident_kib + swapped_kib) * 1024;
  return status;
}

std::string read_rest(const unique_fd& file) {
  std::string text;
  std::array<char, 4096> buffer;
  while (file) {
    const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return text;
}

std::string read_small_file(const char* path) {
  return read_rest(unique_fd(::open(path, O_RDONLY | O_CLOEXEC)));
}

std::string read_boot_id() {
  std::string id = read_small_file("/proc/sys/kernel/random/boot_id");
  id.erase(std::min(id.find('\n'), id.size()));
  return id;
}

std::string read_pid_namespace() {
  std::error_code failed;
  return fs::read_symlink("/proc/self/ns/pid", failed).string();
}

unique_fd open_pidfd(int id) noexcept {
  // Close-on-exec by itself (pidfd_open(2)).
  return unique_fd(static_cast<int>(::syscall(SYS_pidfd_open, id, 0)));
}

bool wait_for_end(int id, std::uint64_t start_ticks, time_point deadline) {
  constexpr auto longest_interval = milliseconds{20};
  const unique_fd descriptor = open_pidfd(id);
  auto interval = milliseconds{1};
  // The look after the descriptor was opened says whose descriptor it is.
  while (may_be_recorded_process(id, start_ticks)) {
    const int left_ms = poll_time_ms(deadline);
    if (left_ms == 0) return false;
    if (descriptor) {
      pollfd end{.fd = descriptor.get(), .events = POLLIN, .revents = 0};
      if (::poll(&end, 1, left_ms) > 0) return true;
    } else {
      std::this_thread::sleep_for(std::min(interval, milliseconds{left_ms}));
      interval = std::min(interval * 2, longest_interval);
    }
  }
  return true;
}

bool wait_for_group_end(int group, time_point deadline) {
  constexpr auto before_another_look = milliseconds{20};
  // Signal 0 asks only. The number stays reserved while anybody is in the group.
  while (::kill(-group, 0) == 0 || errno == EPERM) {
    std::vector<proc_stat> members;
    try {
      members = living_members(group);
      if (members.empty()) return true;
    } catch (...) {
      if (poll_time_ms(deadline) == 0) return false;
      std::this_thread::sleep_for(before_another_look);
    }
    for (const proc_stat& member : members) {
      if (!wait_for_end(member.id, member.start_ticks, deadline)) return false;
    }
  }
  return true;
}

}  // namespace lull::detail
