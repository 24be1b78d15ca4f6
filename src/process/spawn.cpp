#include "process/spawn.hpp"

#include <lull/error.hpp>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

constexpr int state_descriptor = 3;
constexpr int first_closed_descriptor = state_descriptor + 1;
/// Our ends are moved up here, above all that the child's descriptors are called, so that no dup2
/// for one of them closes the source of the next.
constexpr int first_own_descriptor = 10;

[[noreturn]] void fail_start(const char* call, const std::string& what, int code) {
  const bool missing = code == ENOENT || code == ENOTDIR;
  const bool full = code == ENOMEM || code == EAGAIN;
  fail_call(missing ? status::not_found
            : full  ? status::out_of_host_memory
                    : status::io,
            call, code, what);
}

unique_fd moved_up(unique_fd from) {
  unique_fd to(::fcntl(from.get(), F_DUPFD_CLOEXEC, first_own_descriptor));
  if (!to) fail_start("fcntl", "a descriptor for a process to be started", errno);
  return to;
}

struct pipe_ends {
  unique_fd read;
  unique_fd write;
};

pipe_ends make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    fail_start("pipe2", "a pipe for a process to be started", errno);
  }
  unique_fd read(ends[0]);
  unique_fd write(ends[1]);
  return {moved_up(std::move(read)), moved_up(std::move(write))};
}

/// Strings, and the array of pointers that exec wants.
class string_array {
 public:
  explicit string_array(std::vector<std::string> strings) : strings_(std::move(strings)) {
    for (std::string& text : strings_) pointers_.push_back(text.data());
    pointers_.push_back(nullptr);
  }
  [[nodiscard]] char* const* get() const noexcept { return pointers_.data(); }

 private:
  std::vector<std::string> strings_;
  std::vector<char*> pointers_;
};

std::vector<std::string> environment_of(const process_options& options) {
  auto changes = options.environment;
  // A child without a pipe must not take that of this process, which may be a child itself.
  changes[state_descriptor_variable] =
      options.state_pipe ? std::optional(std::to_string(state_descriptor)) : std::nullopt;

  std::vector<std::string> result;
  for (char** at = ::environ; options.inherit_environment && at != nullptr && *at != nullptr;
       ++at) {
    const std::string_view entry = *at;
    if (!changes.contains(std::string(entry.substr(0, entry.find('='))))) {
      result.emplace_back(entry);
    }
  }
  for (const auto& [name, value] : changes) {
    if (value) result.push_back(name + "=" + *value);
  }
  return result;
}

/// What a child does with itself before it is the program.
struct child_plan {
  struct copied_descriptor {
    int from = -1;
    int to = -1;
  };
  std::array<copied_descriptor, state_descriptor + 1> descriptors{};
  std::size_t descriptor_count = 0;
  int first_closed = 0;
  int descriptor_limit = 0;
  const char* directory = nullptr;  ///< null: where it is
  pid_t tied_to = 0;                ///< the parent that it ends with; 0: with none
  char* const* programs = nullptr;  ///< paths, tried in turn
  char* const* arguments = nullptr;
  char* const* environment = nullptr;
  int failures = -1;  ///< where it says why it could not become the program
  /// Set by the child: it ran in the memory of its parent, and the parent waited for it.
  volatile bool shared_memory = false;

  void copy(int from, int to) { descriptors[descriptor_count++] = {from, to}; }
};

/// What a child could not do.
struct child_failure {
  const char* call = nullptr;  ///< in the program's image, which is the same in the child
  int code = 0;                ///< errno
};

// The child's side, between vfork and exec. vfork, because posix_spawn cannot set a parent-death
// signal, and fork would copy the page tables of all that this process has mapped. The child runs
// in the memory of this process while the thread that started it waits: so only system calls, and
// none by a function that a sanitizer replaces, whose books would be those of the parent. (The
// thread sanitizer makes a fork of the vfork; then all this is as good.)

__attribute__((no_sanitize("address", "thread", "undefined"))) const char* tie_to_parent(
    pid_t parent) {
  if (::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return "prctl";
  // It may have died before the kernel knew of the tie.
  if (::syscall(SYS_getppid) != parent) ::syscall(SYS_exit_group, 1);
  return nullptr;
}

/// Default handlers, so that none of this process's runs in the child, and no signal blocked:
/// whatever this process does with its own signals, the child can be stopped by one.
__attribute__((no_sanitize("address", "thread", "undefined"))) const char* reset_signals() {
  constexpr std::size_t kernel_set_bytes = 8;  // of the kernel's sigset_t, which has 64 bits
  // The kernel's struct sigaction, larger than it is on any architecture: SIG_DFL and no flags.
  const std::array<unsigned long, 8> by_default{};
  for (int number = 1; number < NSIG; ++number) {
    ::syscall(SYS_rt_sigaction, number, by_default.data(), nullptr, kernel_set_bytes);
  }
  const std::array<unsigned long, 2> none{};
  return ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, none.data(), nullptr, kernel_set_bytes) == 0
             ? nullptr
             : "sigprocmask";
}

/// Others in this program may have opened files without close-on-exec; an inherited descriptor of a
/// GPU keeps its memory.
/// @param but stays open, and is closed by the exec
__attribute__((no_sanitize("address", "thread", "undefined"))) void close_from(int first, int but,
                                                                               int limit) {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, first, but - 1, 0) == 0 &&
      ::syscall(SYS_close_range, but + 1, ~0U, 0) == 0) {
    return;
  }
#endif
  for (int each = first; each < limit; ++each) {
    if (each != but) ::syscall(SYS_close, each);
  }
}

/// @return the call that failed, with errno
__attribute__((no_sanitize("address", "thread", "undefined"))) const char* prepare(
    const child_plan& plan) {
  if (plan.tied_to != 0) {
    if (const char* const failed = tie_to_parent(plan.tied_to)) return failed;
  }
  if (::syscall(SYS_setpgid, 0, 0) != 0) return "setpgid";
  for (std::size_t i = 0; i < plan.descriptor_count; ++i) {
    const auto& each = plan.descriptors[i];
    if (::syscall(SYS_dup3, each.from, each.to, 0) < 0) return "dup3";
  }
  close_from(plan.first_closed, plan.failures, plan.descriptor_limit);
  if (plan.directory != nullptr && ::syscall(SYS_chdir, plan.directory) != 0) return "chdir";
  return reset_signals();
}

__attribute__((no_sanitize("address", "thread", "undefined"))) void become_program(
    child_plan& plan) {
  plan.shared_memory = true;
  child_failure failure{prepare(plan), 0};
  if (failure.call == nullptr) {
    failure.call = "execve";
    bool forbidden = false;
    for (char* const* each = plan.programs; *each != nullptr; ++each) {
      ::syscall(SYS_execve, *each, plan.arguments, plan.environment);
      forbidden = forbidden || errno == EACCES;
      const bool look_on = errno == EACCES || errno == ENOENT || errno == ENOTDIR;
      if (!look_on) break;
      if (forbidden) errno = EACCES;
    }
  }
  failure.code = errno;
  ::syscall(SYS_write, plan.failures, &failure, sizeof failure);
  ::syscall(SYS_exit_group, 1);
}

/// A frame of its own, which the child never leaves.
__attribute__((noinline, no_sanitize("address", "thread", "undefined"))) pid_t start(
    child_plan& plan) {
  const pid_t id = ::vfork();  // NOLINT(clang-analyzer-security.insecureAPI.vfork)
  if (id == 0) become_program(plan);
  return id;
}

/// @return the child's id
/// @throws error
int carry_out(child_plan& plan, const std::string& what) {
  pipe_ends failures = make_pipe();  // closed by a successful exec
  plan.failures = failures.write.get();
  const pid_t id = start(plan);
  if (id < 0) fail_start("vfork", what, errno);
  failures.write.close();
  // What it had to say it has said. Others who were forked meanwhile may keep the pipe open.
  if (plan.shared_memory) ::fcntl(failures.read.get(), F_SETFL, O_NONBLOCK);
  child_failure failure;
  ssize_t count = 0;
  do {
    count = ::read(failures.read.get(), &failure, sizeof failure);
  } while (count < 0 && errno == EINTR);
  if (count != sizeof failure) return id;
  while (::waitpid(id, nullptr, 0) < 0 && errno == EINTR) {
  }
  fail_start(failure.call, what, failure.code);
}

/// Where a program may be: as execvp(3) looks for it.
std::vector<std::string> places_of(const std::string& program) {
  if (program.find('/') != std::string::npos) return {program};
  const char* const given = std::getenv("PATH");
  std::string_view path = given == nullptr ? "/bin:/usr/bin" : given;
  std::vector<std::string> places;
  while (true) {
    const std::size_t colon = std::min(path.find(':'), path.size());
    const std::string_view folder = path.substr(0, colon);
    places.push_back(folder.empty() ? program : text("{}/{}", folder, program));
    if (colon == path.size()) return places;
    path.remove_prefix(colon + 1);
  }
}

int most_descriptors() {
  constexpr rlim_t enough = 65536;
  rlimit limit{};
  const bool known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0;
  return static_cast<int>(known ? std::min(limit.rlim_cur, enough) : enough);
}

struct connection {
  unique_fd ours;
  unique_fd theirs;  ///< open until the child has its copy
};

/// Sets up one standard stream of the child.
connection connect(child_plan& plan, child_stream kind, int number) {
  const bool is_input = number == STDIN_FILENO;
  connection made;
  if (kind == child_stream::null) {
    unique_fd null(::open("/dev/null", (is_input ? O_RDONLY : O_WRONLY) | O_CLOEXEC));
    if (!null) fail_start("open", "/dev/null", errno);
    made.theirs = moved_up(std::move(null));
  } else if (kind == child_stream::pipe) {
    pipe_ends ends = make_pipe();
    if (is_input) std::swap(ends.read, ends.write);
    made = {std::move(ends.read), std::move(ends.write)};
  }
  if (made.theirs) plan.copy(made.theirs.get(), number);
  return made;
}

}  // namespace

spawned spawn(const process_options& options) {
  child_plan plan;
  connection input = connect(plan, options.input, STDIN_FILENO);
  connection output = connect(plan, options.output, STDOUT_FILENO);
  connection errors = connect(plan, options.errors, STDERR_FILENO);
  pipe_ends states;
  if (options.state_pipe) {
    states = make_pipe();
    plan.copy(states.write.get(), state_descriptor);
    // Only this end: the flag belongs to the open file, and the two ends are two.
    if (::fcntl(states.read.get(), F_SETFL, O_NONBLOCK) != 0) {
      fail_start("fcntl", "the state pipe of a process to be started", errno);
    }
  }
  plan.first_closed = options.state_pipe ? first_closed_descriptor : state_descriptor;
  plan.descriptor_limit = most_descriptors();
  if (!options.directory.empty()) plan.directory = options.directory.c_str();
  if (options.end_with_parent) plan.tied_to = ::getpid();

  const string_array programs(places_of(options.arguments.front()));
  const string_array arguments(options.arguments);
  const string_array environment(environment_of(options));
  plan.programs = programs.get();
  plan.arguments = arguments.get();
  plan.environment = environment.get();
  const std::string where =
      options.directory.empty() ? "" : text(" in '{}'", options.directory.string());
  const int id = carry_out(plan, text("cannot start '{}'{}", options.arguments.front(), where));
  return {id, std::move(input.ours), std::move(output.ours), std::move(errors.ours),
          std::move(states.read)};
}

}  // namespace lull::detail
