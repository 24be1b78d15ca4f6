// Children that a crashed parent left behind: found by their pid files, stopped without ever
// signalling a process that merely has the id of one.

#include <lull/error.hpp>
#include <lull/process.hpp>

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "process/child.hpp"
#include "process/own_file.hpp"
#include "process/pid_file.hpp"
#include "process/proc_stat.hpp"
#include "vocabulary/call_back.hpp"
#include "vocabulary/folder.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace detail {
namespace {

namespace fs = std::filesystem;

std::optional<pid_record> read_trusted_record(const fs::path& path, const log_sink& log) {
  const auto text = read_own_file(path, log);
  if (!text) return {};
  auto record = parse_pid_record(*text);
  if (!record) log_warning(log, path.string(), "is no pid file");
  return record;
}

enum class finding { orphaned, ended, not_to_tell };

finding judge(const pid_record& record, const std::string& boot_id,
              const std::string& pid_namespace) {
  if (record.boot_id != boot_id) return finding::ended;
  // Its ids are of another container: nothing can be said about them from here.
  if (record.pid_namespace != pid_namespace) return finding::not_to_tell;
  if (!is_alive(record.child)) return finding::ended;
  return is_alive(record.parent) ? finding::not_to_tell : finding::orphaned;
}

/// Signals an orphan and its group, but no other process.
class orphan_target {
 public:
  explicit orphan_target(const orphan& which)
      : identity_{which.id, which.start_ticks}, descriptor_(open_pidfd(which.id)) {}

  /// After the descriptor was opened: then it belongs to the process that is looked at here.
  [[nodiscard]] bool alive() const { return is_alive(identity_); }

  /// @return whether there was a process to signal
  /// @throws error (io)
  bool send(int signal) {
    if (!alive()) return false;
    if (send_to_group(signal) == 0 || errno == ESRCH) return true;
    detail::fail_call(status::io, "kill", errno,
                      detail::text("signal {} to orphan {}", signal, identity_.id));
  }

  void remember_group() {
    for (const proc_stat& member : living_members(identity_.id)) {
      if (member.id != identity_.id) members_.push_back({member.id, member.start_ticks});
    }
  }

  /// Kills what outlived the leader. A member that was seen while the leader lived, and is still in
  /// the group, has kept the group's number from being used again.
  void kill_rest() const {
    const bool same_group =
        std::any_of(members_.begin(), members_.end(), [&](const process_identity& member) {
          const auto now = read_proc_stat(member.id);
          return now && now->start_ticks == member.start_ticks && now->group == identity_.id;
        });
    if (same_group) ::kill(-identity_.id, SIGKILL);
  }

  [[nodiscard]] bool wait(duration span) const {
    return wait_for_end(identity_.id, identity_.start_ticks, steady_clock().deadline_in(span));
  }

 private:
  [[nodiscard]] int send_to_group(int signal) const {
    // PIDFD_SIGNAL_PROCESS_GROUP of Linux 6.9, which takes the group through the descriptor.
    constexpr unsigned to_group = 1U << 2U;
    if (descriptor_ && leads_group()) {
      if (::syscall(SYS_pidfd_send_signal, descriptor_.get(), signal, nullptr, to_group) == 0) {
        return 0;
      }
      if (errno != EINVAL && errno != ENOSYS && errno != EPERM) return -1;
    }
    // For the number to be another's by now, all other numbers would have to have been used within
    // the microseconds since alive().
    return ::kill(leads_group() ? -identity_.id : identity_.id, signal);
  }

  [[nodiscard]] bool leads_group() const {
    const auto now = read_proc_stat(identity_.id);
    return now && now->group == identity_.id;
  }

  process_identity identity_;
  unique_fd descriptor_;
  std::vector<process_identity> members_;
};

orphan_end end_orphan(const orphan& which, const orphan_options& options) {
  const stop_options& how = options.stopping;
  orphan_target target(which);
  if (!target.alive()) return orphan_end::gone;
  target.remember_group();
  if (how.grace > duration::zero()) {
    target.send(how.signal);
    target.send(SIGCONT);
    if (target.wait(how.grace)) {
      target.kill_rest();
      return orphan_end::ended;
    }
    target.remember_group();
  }
  prepare_kill(which.id, how, steady_clock(), options.log);
  const bool killed = target.send(SIGKILL);
  if (!target.wait(how.kill_wait)) {
    detail::fail(status::timed_out, "orphan {} ('{}') was killed and has not ended", which.id,
                 which.command);
  }
  target.kill_rest();
  return killed ? orphan_end::killed : orphan_end::ended;
}

}  // namespace
}  // namespace detail

std::vector<orphan> find_orphans(const std::filesystem::path& directory, const log_sink& log) {
  const std::string boot_id = detail::read_boot_id();
  const std::string pid_namespace = detail::read_pid_namespace();
  if (boot_id.empty() || pid_namespace.empty()) {
    detail::fail(status::io,
                 "pid files in '{}': /proc does not say of which boot and container "
                 "this process is, so nothing can be said about others",
                 directory.string());
  }
  std::vector<orphan> orphans;
  detail::folder files(directory.c_str());
  for (std::string_view name = files.next(); !name.empty(); name = files.next()) {
    if (!detail::is_pid_file_name(name)) continue;
    const std::filesystem::path path = directory / name;
    const auto record = detail::read_trusted_record(path, log);
    if (!record) continue;
    switch (detail::judge(*record, boot_id, pid_namespace)) {
      case detail::finding::orphaned:
        orphans.push_back({record->child.id, record->child.start_ticks, record->command, path});
        break;
      case detail::finding::ended: ::unlink(path.c_str()); break;
      case detail::finding::not_to_tell: break;
    }
  }
  if (files.error() != 0 && files.error() != ENOENT) {
    detail::fail(status::io, "pid files in '{}': {}", directory.string(),
                 std::generic_category().message(files.error()));
  }
  std::sort(orphans.begin(), orphans.end(),
            [](const orphan& a, const orphan& b) { return a.id < b.id; });
  return orphans;
}

orphan_end stop_orphan(const orphan& which, const orphan_options& options) {
  detail::check(options.stopping);
  if (which.id <= 1 || options.clock == nullptr) {
    detail::fail(status::invalid_argument,
                 "stop_orphan: id {} (an orphan's is above 1), or no clock", which.id);
  }
  constexpr auto group_end_patience = std::chrono::seconds{1};
  const orphan_end how = detail::end_orphan(which, options);
  // A group that was gone before may have left its number to somebody else.
  if (how != orphan_end::gone &&
      !detail::wait_for_group_end(which.id, steady_clock().deadline_in(group_end_patience))) {
    detail::log_warning(options.log, "orphan",
                        detail::text("{} has ended, but not all of its group", which.id));
  }
  if (!which.file.empty()) ::unlink(which.file.c_str());
  detail::call_back(options.log, "on_release", options.on_release, options.clock->now());
  return how;
}

}  // namespace lull
