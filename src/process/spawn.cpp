#include "process/spawn.hpp"

#include <lull/error.hpp>

#include <fcntl.h>
#include <sched.h>
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
#include <memory>
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

[[noreturn]] void throw_errno(const char* call, const std::string& what, int code) {
  const bool missing = code == ENOENT || code == ENOTDIR;
  const bool full = code == ENOMEM || code == EAGAIN;
  const std::string words = std::generic_category().message(code);
  throw error(missing ? status::not_found
              : full  ? status::out_of_host_memory
                      : status::io,
              text("{}: {} ({})", what, words, call), vendor_failure{"", call, code, words});
}

unique_fd moved_up(unique_fd from) {
  unique_fd to(::fcntl(from.get(), F_DUPFD_CLOEXEC, first_own_descriptor));
  if (!to) throw_errno("fcntl", "a descriptor for a process to be started", errno);
  return to;
}

struct pipe_ends {
  unique_fd read;
  unique_fd write;
};

pipe_ends make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw_errno("pipe2", "a pipe for a process to be started", errno);
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

/// What a child does with itself before it is the program, and what became of it. Lives in the
/// memory that child and parent share until then.
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

  const char* failed_call = nullptr;
  int failure = 0;  ///< errno

  void copy(int from, int to) { descriptors[descriptor_count++] = {from, to}; }
};

// The child's side. It runs on a stack of its own in the memory of this process, while the thread
// that started it waits (clone(2) with CLONE_VM and CLONE_VFORK, as posix_spawn does it, which
// cannot set a parent-death signal; fork would copy the page tables of all that this process has
// mapped). So only system calls, and none by a function that a sanitizer replaces: its books would
// be those of the parent.

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
__attribute__((no_sanitize("address", "thread", "undefined"))) void close_from(int first,
                                                                               int limit) {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, first, ~0U, 0) == 0) return;
#endif
  for (int each = first; each < limit; ++each) ::syscall(SYS_close, each);
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
  close_from(plan.first_closed, plan.descriptor_limit);
  if (plan.directory != nullptr && ::syscall(SYS_chdir, plan.directory) != 0) return "chdir";
  return reset_signals();
}

__attribute__((no_sanitize("address", "thread", "undefined"))) int become_program(void* argument) {
  child_plan& plan = *static_cast<child_plan*>(argument);
  plan.failed_call = prepare(plan);
  if (plan.failed_call == nullptr) {
    plan.failed_call = "execve";
    bool forbidden = false;
    for (char* const* each = plan.programs; *each != nullptr; ++each) {
      ::syscall(SYS_execve, *each, plan.arguments, plan.environment);
      forbidden = forbidden || errno == EACCES;
      const bool look_on = errno == EACCES || errno == ENOENT || errno == ENOTDIR;
      if (!look_on) break;
      if (forbidden) errno = EACCES;
    }
  }
  plan.failure = errno;
  ::syscall(SYS_exit_group, 1);
  return 1;
}

/// @return the child's id
/// @throws error
int carry_out(child_plan& plan, const std::string& what) {
  constexpr std::size_t stack_bytes = std::size_t{64} << 10;
  constexpr std::size_t alignment = 64;
  const auto stack = std::make_unique_for_overwrite<std::byte[]>(stack_bytes);
  const auto top = reinterpret_cast<std::uintptr_t>(stack.get()) + stack_bytes;
  const int id =
      ::clone(become_program, reinterpret_cast<void*>(top - top % alignment),  // grows downwards
              CLONE_VM | CLONE_VFORK | SIGCHLD, &plan);
  if (id < 0) throw_errno("clone", what, errno);
  if (plan.failure == 0) return id;
  while (::waitpid(id, nullptr, 0) < 0 && errno == EINTR) {
  }
  throw_errno(plan.failed_call, what, plan.failure);
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
    if (!null) throw_errno("open", "/dev/null", errno);
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
      throw_errno("fcntl", "the state pipe of a process to be started", errno);
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
