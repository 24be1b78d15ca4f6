#ifndef LULL_PROCESS_HPP
#define LULL_PROCESS_HPP

/// @file
/// Children that stop when told to, with all that they have forked: started with what they need and
/// no more, always reaped, found again after a crash of the parent. And the line protocol by which
/// a child says in which state it is.

#include <lull/clock.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/device.hpp>
#include <lull/export.h>
#include <lull/log.hpp>
#include <lull/stop.hpp>
#include <lull/suspend.hpp>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lull {

class release_clock;  // lull/settle.hpp

// The line protocol ------------------------------------------------------------------------------
//
// The child finds the number of a descriptor in the environment variable LULL_STATE_FD and writes
// JSON objects to it, one a line, at most 4096 bytes with the newline (so that one write is atomic
// on a pipe):
//
//   {"lull":1,"state":"loading","progress":0.25}
//
// "lull" is the version and "state" one of the names below; "progress", 0 to 1, may be absent.
// Other members with a string, number, true, false or null are ignored. What is not such a line is
// reported and skipped.

/// The state that a child says it is in.
enum class process_state : std::uint8_t { loading, ready, sleeping, awake, stopped };

/// The name on the wire, "loading".
LULL_API std::string_view to_string(process_state state) noexcept;

/// What one line said.
struct process_event {
  process_state state = process_state::loading;
  std::optional<double> progress = {};  ///< 0 to 1

  friend bool operator==(const process_event& a, const process_event& b) noexcept {
    return a.state == b.state && a.progress == b.progress;
  }
  friend bool operator!=(const process_event& a, const process_event& b) noexcept {
    return !(a == b);
  }
};

/// A line that was skipped. The texts are valid during the call only.
struct rejected_line {
  std::string_view reason;       ///< "unknown state", for people
  std::string_view text;         ///< its beginning, as it came: any bytes
  std::uint64_t size_bytes = 0;  ///< of the whole line, without the newline
};

/// The name of the environment variable that holds the descriptor's number in the child.
inline constexpr const char* state_descriptor_variable = "LULL_STATE_FD";

/// The child's side of the line protocol. Owns nothing: the descriptor stays open for the life of
/// the process, so that any number of reporters can use it. Thread-safe.
class LULL_API state_reporter {
 public:
  /// Reports to the parent that LULL_STATE_FD names; to nobody when it names no pipe or socket.
  /// The descriptor is marked so that programs started from here do not inherit it.
  state_reporter() noexcept;
  /// Reports to a pipe or socket of the caller's, which must stay open. It is made non-blocking.
  explicit state_reporter(int descriptor) noexcept;

  /// Whether there is somebody to report to.
  [[nodiscard]] bool connected() const noexcept { return descriptor_ >= 0; }

  /// Writes one line. Waits at most 100 ms for a parent that does not read; raises no SIGPIPE when
  /// the parent is gone.
  /// @param progress 0 to 1, values outside are clamped; NaN is left out
  /// @return whether the line was written, as a whole; false also when not connected
  // NOLINTNEXTLINE(modernize-use-nodiscard): few can do anything about a line that was not written
  bool report(process_state state, std::optional<double> progress = std::nullopt) const noexcept;

 private:
  int descriptor_ = -1;
};

// Ends -------------------------------------------------------------------------------------------

/// How a process ended.
struct LULL_API exit_status {
  enum class kind : std::uint8_t {
    exited,     ///< by itself
    signalled,  ///< by a signal
    unknown,    ///< somebody else in this program reaped it, or SIGCHLD is ignored
  };
  kind how = kind::unknown;
  int value = 0;  ///< the exit code, or the number of the signal
  bool core_dumped = false;

  [[nodiscard]] bool success() const noexcept { return how == kind::exited && value == 0; }
  /// As shells say it: the exit code, 128 + the signal, 255 when unknown.
  [[nodiscard]] int shell_code() const noexcept;

  friend bool operator==(const exit_status& a, const exit_status& b) noexcept {
    return a.how == b.how && a.value == b.value && a.core_dumped == b.core_dumped;
  }
  friend bool operator!=(const exit_status& a, const exit_status& b) noexcept { return !(a == b); }
};
/// "exited with code 3", "killed by signal 9 (Killed)", "ended in an unknown way".
LULL_API std::string to_string(const exit_status& status);

/// Told when the memory of a process is released, as far as the kernel is concerned: its group has
/// ended. The driver may take a moment longer.
using release_callback = std::function<void(time_point when)>;

/// A release_callback that marks these devices.
/// @param releases on the same clock as the process; must outlive the callback
/// @param device_names where the process had memory. Empty: it is not known, and the mark counts
///        for every device.
[[nodiscard]] LULL_API release_callback mark_on_release(release_clock& releases,
                                                        std::vector<std::string> device_names = {});

/// A before_kill hook for a process whose CUDA state was restored from a checkpoint: locks and
/// checkpoints it before it is killed. Killing such a process without that hung the host with
/// driver 595.71 (NVIDIA/cuda-checkpoint issue 53).
/// @param device any device with capability::suspend
/// @param timeout for the work that the process has submitted; keep it below before_kill_timeout
/// @throws error (unsupported) when the device lacks the capability
[[nodiscard]] LULL_API std::function<void(int id)> checkpoint_before_kill(
    const device& device, std::chrono::milliseconds timeout = std::chrono::seconds{2});

/// How a process is stopped.
struct stop_options {
  /// Asked politely with this signal.
  int signal = SIGTERM;
  /// Time to end by itself, on the injected clock; then it is killed. 0: killed at once, not asked.
  duration grace = std::chrono::seconds{10};
  /// How long a killed process may take to end before the wait for it is given up: one that hangs
  /// in a driver cannot be killed. Above 0.
  duration kill_wait = std::chrono::seconds{5};
  /// Called with the process id before a kill, on a thread of its own: for drivers that must not
  /// see a process die in the middle (a restored CUDA process that is killed without lock and
  /// checkpoint hung the host with driver 595.71: NVIDIA/cuda-checkpoint issue 53). What it throws
  /// is logged; the kill follows all the same.
  std::function<void(int id)> before_kill = {};
  /// When before_kill has not returned by then the kill goes ahead; the hook is left behind on its
  /// thread and must not refer to anything that may end. Above 0.
  duration before_kill_timeout = std::chrono::seconds{5};
};

/// What stop() did.
struct stop_result {
  exit_status status;
  bool killed = false;  ///< it had to be killed
  duration elapsed{};   ///< the whole call
};

// Children ---------------------------------------------------------------------------------------

/// What one of the child's three standard streams is.
enum class child_stream : std::uint8_t {
  inherit,  ///< that of this process
  null,     ///< /dev/null
  pipe,     ///< a pipe, whose other end is taken with take_input, take_output, take_errors
};

struct process_options {
  /// The program, then its arguments. A program without a slash is looked for in this process's
  /// PATH.
  std::vector<std::string> arguments = {};
  /// Variables set on top of this process's; without a value: removed.
  std::map<std::string, std::optional<std::string>> environment = {};
  /// Off: only `environment`.
  bool inherit_environment = true;
  /// Where it starts; empty: where this process is.
  std::filesystem::path directory = {};

  /// A child in a group of its own that reads from a terminal is stopped by the kernel: hence null.
  child_stream input = child_stream::null;
  child_stream output = child_stream::inherit;
  child_stream errors = child_stream::inherit;

  /// Give the child a pipe for the line protocol, as descriptor 3.
  bool state_pipe = true;
  std::function<void(const process_event&)> on_event = {};
  std::function<void(const rejected_line&)> on_rejected = {};
  /// Called once, after the group has ended and before wait() and stop() return.
  release_callback on_release = {};
  /// Gets marks at that moment, before on_release is called: for each of `devices`, and with how
  /// much comes back where the device can list its processes, as looked up just before the child is
  /// stopped (250 ms a device at most). With no devices the mark counts for every one. On the clock
  /// below; must outlive the process object. Null: nobody is told.
  release_clock* releases = nullptr;
  /// Where the child has memory, as far as that is known; see also process::set_devices.
  std::vector<device> devices = {};

  /// How the destructor kills and what stop() does without an argument.
  stop_options stopping = {};
  /// A directory for a file that names the child while it lives, so that find_orphans() finds it
  /// should this process crash. Made (mode 0700) when it does not exist. Empty: none.
  std::filesystem::path pid_directory = {};

  /// The kernel kills the child when this process ends, also by a crash or SIGKILL. What the child
  /// has forked is not killed with it then. No effect on a program that gains rights as it starts
  /// (set-user-ID).
  bool end_with_parent = false;

  const lull::clock* clock = &lull::steady_clock();
  log_sink log = {};
};

/// A child as seen at one moment.
struct process_snapshot {
  int id = 0;
  std::optional<exit_status> ended;         ///< absent while it runs
  std::optional<process_event> last_event;  ///< what it said last
  std::uint64_t events = 0;
  std::uint64_t rejected_lines = 0;
};

namespace detail {
class child;
struct process_access;
}  // namespace detail

/// A child process and what it has forked. Move-only.
///
/// The child leads a process group of its own, starts with default signal handling and an empty
/// signal mask, and gets no descriptor but its standard streams and the state pipe (where the C
/// library cannot close the others, those without close-on-exec pass). Its group lives no longer
/// than it: when the child ends, by itself or not, what is left in the group is killed. What leaves
/// the group (setsid, setpgid) is out of reach.
///
/// One thread per child reads the state pipe, reaps, and runs the callbacks. These must return soon
/// and must not call wait() or stop() of their own process (`busy`); what they throw is logged.
///
/// This program must not reap children that are not its own (waitpid(-1)), nor ignore SIGCHLD: then
/// the exit status is unknown and what the child left in its group cannot be killed safely.
///
/// Thread-safe, except that moving and destroying are for one thread, after all other calls. One
/// that was moved from may only be assigned to and destroyed. In a child that this program makes by
/// fork(), every function throws `unsupported`, and the destructor leaves the child alone.
class LULL_API process {
 public:
  /// Starts the child, on the process object's own thread; returns when the program runs. Blocks
  /// for as long as the kernel takes to start it, milliseconds.
  /// @throws error invalid_argument: no program, an option outside its range; not_found: no such
  ///         program or directory; out_of_host_memory: also where no thread can be started; io: it
  ///         could not be started, or its pid file not written; unsupported: in a forked child
  explicit process(process_options options);
  /// Kills the group without grace (before_kill first), and reaps. A child that does not end within
  /// kill_wait is logged and left to the child's thread, which reaps it in the end; callbacks are
  /// not called any more.
  ~process();
  process(process&&) noexcept;
  /// Ends the child that was there, as the destructor does.
  process& operator=(process&& other) noexcept;

  /// The process id, which is the id of its group too. Once the child has ended the number may
  /// belong to another process.
  [[nodiscard]] int id() const noexcept;

  [[nodiscard]] process_snapshot observe() const;

  /// The parent's end of a stream that is a pipe (blocking, close-on-exec): the caller owns it from
  /// now on. -1 when the stream is no pipe or was taken before. What is not taken is closed with
  /// the process object.
  [[nodiscard]] int take_input() noexcept;
  [[nodiscard]] int take_output() noexcept;
  [[nodiscard]] int take_errors() noexcept;

  /// Waits for the end of the group.
  /// @param deadline on the options' clock
  /// @return nothing at the deadline and when `stop` is requested
  /// @throws error (busy) from a callback of this process
  std::optional<exit_status> wait(time_point deadline = no_deadline, const stop_view& stop = {});

  /// Stops the group: asks (the signal, then SIGCONT so that a stopped child can act on it), waits
  /// for the grace period, kills. Harmless when it has ended. Callers may be several; the signal is
  /// sent once, and the shortest grace period counts. Returns or throws within grace +
  /// before_kill_timeout + kill_wait.
  /// @throws error invalid_argument: an option outside its range; timed_out: killed and still there
  ///         after kill_wait, which leaves it to be reaped later; busy: from a callback of this
  ///         process
  stop_result stop();
  stop_result stop(const stop_options& how);

  /// Says where the child has memory, in place of process_options::devices: for callers that look
  /// for devices while the child runs already.
  void set_devices(std::vector<device> devices);

  /// Takes the child, or with options.tree all that it has started too, off the GPUs: see
  /// suspend_process(), whose words hold here. The devices are process_options::devices, or those
  /// of set_devices(). A child that is suspended cannot react to a signal if that takes the GPU:
  /// resume it before stop(), or it is killed at the end of the grace period.
  /// @return what was suspended
  /// @throws error as suspend_process; busy: suspended already
  std::vector<suspended_process> suspend(const suspend_options& options = {});
  /// Brings back what suspend() took off the GPUs, as resume_processes() does.
  /// @throws error as resume_processes; not_found: also when nothing is suspended
  void resume(const resume_options& options = {});

  /// Sends a signal to the group.
  /// @return false when it has ended
  /// @throws error (invalid_argument) for a number that is no signal
  bool send_signal(int number);

 private:
  friend struct detail::process_access;
  explicit process(std::shared_ptr<detail::child> state) noexcept;

  std::shared_ptr<detail::child> state_;
};

// Orphans ----------------------------------------------------------------------------------------

/// A child whose parent has ended and which still runs.
struct orphan {
  int id = 0;
  /// When it started, in clock ticks since boot: what tells it from another process with its id.
  std::uint64_t start_ticks = 0;
  std::string command = {};         ///< as it was started, without the arguments
  std::filesystem::path file = {};  ///< its pid file
};

/// Reads the pid files of a directory (see process_options::pid_directory). Reports a process only
/// when it is certain to be the one that was recorded: same boot, same pid namespace, same id, same
/// start time, and a parent that is gone. Files of processes that have ended are removed. Files
/// that cannot be read, are not owned by this user or can be written by others are logged and left
/// alone.
/// @return sorted by id; empty when the directory does not exist
/// @throws error (io) when the directory cannot be read
[[nodiscard]] LULL_API std::vector<orphan> find_orphans(const std::filesystem::path& directory,
                                                        const log_sink& log = {});

struct orphan_options {
  stop_options stopping = {};
  release_callback on_release = {};  ///< called once its group has ended, also when it was gone
  const lull::clock* clock = &lull::steady_clock();  ///< for the times; the wait is in real time
  log_sink log = {};
};

/// What stop_orphan() found.
enum class orphan_end : std::uint8_t {
  gone,    ///< it had ended already; the id may belong to another process, which was left alone
  ended,   ///< it ended in the grace period
  killed,  ///< it had to be killed
};

/// Stops an orphan and its group as process::stop() does, and removes its pid file. Before every
/// signal it is made sure that the process is the recorded one.
/// @throws error invalid_argument; timed_out: killed and still there after kill_wait; io: this user
///         may not signal it
LULL_API orphan_end stop_orphan(const orphan& which, const orphan_options& options = {});

}  // namespace lull

#endif  // LULL_PROCESS_HPP
