#ifndef LULL_PROCESS_CHILD_HPP
#define LULL_PROCESS_CHILD_HPP

#include <lull/process.hpp>
#include <lull/settle.hpp>

#include <sys/types.h>

#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "process/exit_event.hpp"
#include "process/line_protocol.hpp"
#include "process/pid_file.hpp"
#include "process/spawn.hpp"

namespace lull::detail {

/// What of the system a test replaces.
struct process_system {
  std::function<int(pid_t to, int signal)> send = ::kill;
  bool use_pidfd = true;
};

/// @throws error (invalid_argument)
void check(const stop_options& how);

/// Calls how.before_kill and returns when it has, or when its time is over.
void prepare_kill(int id, const stop_options& how, const clock& time, const log_sink& log) noexcept;

/// A child, shared by the process object and the child's thread, so that either can go first.
///
/// The id is the child's until it is reaped. Signals are sent and the child is reaped under
/// `mutex_`, so nothing is ever sent to an id that was given back. The group's id is taken for as
/// long as its leader is not reaped: hence what is left in it is killed while the leader is a
/// zombie.
class child : public std::enable_shared_from_this<child> {
 public:
  /// Starts thread and child.
  /// @throws error as the constructor of process
  static std::shared_ptr<child> start(process_options options, process_system system);

  child(process_options options, process_system system);

  [[nodiscard]] int id() const noexcept { return ends_.id; }
  [[nodiscard]] process_snapshot observe() const;
  [[nodiscard]] spawned& ends() noexcept { return ends_; }
  [[nodiscard]] const stop_options& stopping() const noexcept { return options_.stopping; }

  std::optional<exit_status> wait(time_point deadline, const std::stop_token& stop) const;
  stop_result stop(const stop_options& how);
  bool send_signal(int number);
  void set_devices(std::vector<device> devices);
  std::vector<suspended_process> suspend(const suspend_options& options);
  void resume(const resume_options& options);

  /// The process object goes: kills, and joins or leaves the thread.
  void finish() noexcept;

 private:
  // On the child's thread (watch.cpp). It starts the child too: the kernel ties a child that ends
  // with its parent to the thread that started it.
  void live(std::promise<void>& begun);
  void begin();
  void watch(line_decoder& decoder) noexcept;
  bool read_states(line_decoder& decoder);
  void drain_states(line_decoder& decoder);
  exit_status reap();
  void expect_group_end(const exit_status& status) const noexcept;
  void mark_release(time_point when) noexcept;
  void announce_release();
  [[nodiscard]] bool is_silenced() const;
  void on_event(const process_event& event);
  void on_rejected(const rejected_line& line);
  void publish(const exit_status& status);

  [[nodiscard]] bool may_signal() const noexcept;
  void look_at_memory() noexcept;
  void ask(int signal);
  bool kill_group(const stop_options& how);
  void expect_other_thread(const char* what) const;
  [[nodiscard]] bool wait_until_ended(std::unique_lock<std::mutex>& lock, time_point deadline,
                                      const std::stop_token& stop) const;

  const process_options options_;
  const process_system system_;
  spawned ends_;
  pid_file pid_file_;
  std::optional<exit_event> exit_;
  std::thread thread_;
  std::thread::id thread_id_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool reaped_ = false;    ///< the id is not the child's any more
  bool asked_ = false;     ///< the polite signal was sent
  bool silenced_ = false;  ///< the process object is gone, callbacks with it
  process_snapshot seen_;
  std::vector<device> devices_;
  std::map<std::string, release_gain> gains_;  ///< by device, as seen before it was stopped
  bool looked_ = false;
  std::mutex suspending_;  ///< held while it is suspended or resumed; before `mutex_`
  std::vector<suspended_process> suspended_;  ///< under `suspending_`
};

/// For tests: a process on another system.
struct process_access {
  static process start(process_options options, process_system system);
};

}  // namespace lull::detail

#endif  // LULL_PROCESS_CHILD_HPP
