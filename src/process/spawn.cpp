#include "process/spawn.hpp"

#include <lull/error.hpp>

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <array>
#include <cerrno>
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

void expect_success(const char* call, int code) {
  if (code != 0) throw_errno(call, "preparing to start a process", code);
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

class file_actions {
 public:
  file_actions() {
    expect_success("posix_spawn_file_actions_init", ::posix_spawn_file_actions_init(&actions_));
  }
  ~file_actions() { ::posix_spawn_file_actions_destroy(&actions_); }
  file_actions(const file_actions&) = delete;
  file_actions& operator=(const file_actions&) = delete;

  void duplicate(int from, int to) {
    expect_success("posix_spawn_file_actions_adddup2",
                   ::posix_spawn_file_actions_adddup2(&actions_, from, to));
  }

  void open_null(int to, int flags) {
    expect_success("posix_spawn_file_actions_addopen",
                   ::posix_spawn_file_actions_addopen(&actions_, to, "/dev/null", flags, 0));
  }

  void change_directory(const char* where) {
    expect_success("posix_spawn_file_actions_addchdir_np",
                   ::posix_spawn_file_actions_addchdir_np(&actions_, where));
  }

  /// Others in this program may have opened files without close-on-exec; an inherited descriptor of
  /// a GPU keeps its memory.
  void close_from([[maybe_unused]] int first) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    expect_success("posix_spawn_file_actions_addclosefrom_np",
                   ::posix_spawn_file_actions_addclosefrom_np(&actions_, first));
#endif
  }

  [[nodiscard]] const posix_spawn_file_actions_t* get() const noexcept {
    return &actions_;
  }

 private:
  posix_spawn_file_actions_t actions_{};
};

/// A group of its own, default handlers, no signal blocked: whatever this process does with its own
/// signals, the child can be stopped by one.
class spawn_attributes {
 public:
  spawn_attributes() {
    expect_success("posix_spawnattr_init", ::posix_spawnattr_init(&attributes_));
    sigset_t none;
    ::sigemptyset(&none);
    sigset_t all;
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    ::posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~spawn_attributes() { ::posix_spawnattr_destroy(&attributes_); }
  spawn_attributes(const spawn_attributes&) = delete;
  spawn_attributes& operator=(const spawn_attributes&) = delete;

  [[nodiscard]] const posix_spawnattr_t* get() const noexcept { return &attributes_; }

 private:
  posix_spawnattr_t attributes_{};
};

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

struct connection {
  unique_fd ours;
  unique_fd theirs;  ///< open until the child has its copy
};

/// Sets up one standard stream of the child.
connection connect(file_actions& actions, stream kind, int number) {
  const bool is_input = number == STDIN_FILENO;
  if (kind == stream::null) actions.open_null(number, is_input ? O_RDONLY : O_WRONLY);
  if (kind != stream::pipe) return {};
  pipe_ends ends = make_pipe();
  if (is_input) std::swap(ends.read, ends.write);
  actions.duplicate(ends.write.get(), number);
  return {std::move(ends.read), std::move(ends.write)};
}

}  // namespace

spawned spawn(const process_options& options) {
  file_actions actions;
  connection input = connect(actions, options.input, STDIN_FILENO);
  connection output = connect(actions, options.output, STDOUT_FILENO);
  connection errors = connect(actions, options.errors, STDERR_FILENO);
  pipe_ends states;
  if (options.state_pipe) {
    states = make_pipe();
    actions.duplicate(states.write.get(), state_descriptor);
    // Only this end: the flag belongs to the open file, and the two ends are two.
    if (::fcntl(states.read.get(), F_SETFL, O_NONBLOCK) != 0) {
      throw_errno("fcntl", "the state pipe of a process to be started", errno);
    }
  }
  actions.close_from(options.state_pipe ? first_closed_descriptor : state_descriptor);
  if (!options.directory.empty()) actions.change_directory(options.directory.c_str());

  const spawn_attributes attributes;
  const string_array arguments(options.arguments);
  const string_array environment(environment_of(options));
  const char* const program = options.arguments.front().c_str();
  pid_t id = -1;
  const int failed = ::posix_spawnp(&id, program, actions.get(), attributes.get(), arguments.get(),
                                    environment.get());
  if (failed != 0) {
    const std::string where =
        options.directory.empty() ? "" : text(" in '{}'", options.directory.string());
    throw_errno("posix_spawnp", text("cannot start '{}'{}", program, where), failed);
  }
  return {id, std::move(input.ours), std::move(output.ours), std::move(errors.ours),
          std::move(states.read)};
}

}  // namespace lull::detail
