// The end of an image: the next one takes its place.

#include <lull/rebirth.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "process/image.hpp"
#include "process/rebirth_record.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/text.hpp"
#include "vocabulary/unique_fd.hpp"

namespace lull {
namespace {

using detail::fail;
using detail::fail_call;
using detail::image;
using detail::rebirth_record;
using detail::text;
using detail::unique_fd;

constexpr const char* own_program = "/proc/self/exe";

// Of kernels that are newer than the C library's headers may be (linux/close_range.h,
// linux/memfd.h).
constexpr unsigned close_range_unshare = 1U << 1;
constexpr unsigned close_range_cloexec = 1U << 2;
constexpr unsigned memory_file_noexec = 8U;

/// The file that becomes the next image.
class program_file {
 public:
  explicit program_file(const std::filesystem::path& named)
      : named_(named),
        file_(::open(named.empty() ? own_program : named.c_str(), O_PATH | O_CLOEXEC)) {
    if (!file_) refuse("open");
    struct stat what {};
    if (::fstat(file_.get(), &what) != 0) refuse("fstat");
    if (!S_ISREG(what.st_mode)) {
      fail(status::io, "{}: it is no file that could be executed", words());
    }
    if (::access(text("/proc/self/fd/{}", file_.get()).c_str(), X_OK) != 0) refuse("access");
    if ((what.st_mode & (S_ISUID | S_ISGID)) == 0) return;
    fail(status::unsupported,
         "{}: it has a set-user-id or set-group-id bit, and would have other rights than this "
         "process",
         words());
  }

  [[nodiscard]] std::string words() const {
    return named_.empty() ? "the program of this process" : text("'{}'", named_.string());
  }

  /// Returns where it fails, with errno.
  void execute(char* const* arguments, char* const* environment) const noexcept {
    // By its number it is the file that was looked at, whatever has its name now. A path may also
    // be that of a script, whose interpreter has to open it.
    if (named_.empty()) {
      ::syscall(SYS_execveat, file_.get(), "", arguments, environment, AT_EMPTY_PATH);
    } else {
      ::execve(named_.c_str(), arguments, environment);
    }
  }

 private:
  [[noreturn]] void refuse(const char* call) const {
    const bool missing = errno == ENOENT || errno == ENOTDIR;
    fail_call(missing ? status::not_found : status::io, call, errno, words());
  }

  std::filesystem::path named_;
  unique_fd file_;
};

std::vector<std::string> own_arguments() {
  const unique_fd file(::open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC));
  if (!file) fail_call(status::io, "open", errno, "the arguments of this process");
  std::string all;
  std::array<char, 4096> part;
  ssize_t got = 0;
  while ((got = ::read(file.get(), part.data(), part.size())) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_call(status::io, "read", errno, "the arguments of this process");
    all.append(part.data(), static_cast<std::size_t>(got));
  }
  std::vector<std::string> result;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = std::min(all.find('\0', begin), all.size());
    result.push_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
  return result;
}

std::vector<std::string> environment_of(const rebirth_options& how) {
  std::vector<std::string> result;
  for (char** at = ::environ; at != nullptr && *at != nullptr; ++at) {
    const std::string_view entry = *at;
    const std::string name(entry.substr(0, entry.find('=')));
    if (name != detail::rebirth_variable && how.environment.count(name) == 0) {
      result.emplace_back(entry);
    }
  }
  for (const auto& [name, value] : how.environment) {
    if (value) result.push_back(name + '=' + *value);
  }
  return result;
}

/// Strings, and what exec wants of them.
class string_array {
 public:
  explicit string_array(std::vector<std::string> strings) : strings_(std::move(strings)) {
    for (std::string& each : strings_) pointers_.push_back(each.data());
    pointers_.push_back(nullptr);
  }
  [[nodiscard]] char* const* get() const noexcept { return pointers_.data(); }

 private:
  std::vector<std::string> strings_;
  std::vector<char*> pointers_;
};

/// As fs/exec.c of Linux counts: a quarter of the stack's limit, within bounds, for all strings and
/// their pointers, and 32 pages for one of them.
void expect_size_fits(const std::vector<std::string>& arguments,
                      const std::vector<std::string>& environment) {
  constexpr std::uint64_t least = 131072;
  constexpr std::uint64_t most = std::uint64_t{6} << 20;
  const std::uint64_t longest = 32 * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  // The program's own name, and the variable for the next image.
  std::uint64_t bytes = 4096;
  for (const auto* const list : {&arguments, &environment}) {
    for (const std::string& each : *list) {
      if (each.size() + 1 > longest) {
        fail(status::invalid_argument,
             "'{}...' of the arguments and the environment has {} bytes, and the kernel takes {} "
             "in one",
             each.substr(0, 32), each.size(), longest - 1);
      }
      bytes += each.size() + 1 + sizeof(char*);
    }
  }
  rlimit stack{};
  const bool known = ::getrlimit(RLIMIT_STACK, &stack) == 0;
  const std::uint64_t quarter = known ? static_cast<std::uint64_t>(stack.rlim_cur) / 4 : most;
  const std::uint64_t limit = std::max(least, std::min(quarter, most));
  if (bytes <= limit) return;
  fail(status::invalid_argument,
       "arguments and environment take {} bytes, and the kernel takes {}: a quarter of the stack's "
       "limit, and 6 MiB at most",
       bytes, limit);
}

unique_fd make_memory_file() {
  constexpr const char* name = "lull-rebirth";
  constexpr unsigned sealable = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  // Older kernels do not know the flag that newer ones may insist on.
  unique_fd file(::memfd_create(name, sealable | memory_file_noexec));
  if (!file && errno == EINVAL) file = unique_fd(::memfd_create(name, sealable));
  if (!file) {
    fail_call(errno == ENOSYS ? status::unsupported : status::out_of_host_memory, "memfd_create",
              errno, "a memory file for the next image");
  }
  return file;
}

unique_fd write_down(const rebirth_record& record) {
  const unique_fd file = make_memory_file();
  const std::string bytes = to_bytes(record);
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t put = ::write(file.get(), bytes.data() + at, bytes.size() - at);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      fail_call(status::out_of_host_memory, "write", errno, "the memory file for the next image");
    }
    at += static_cast<std::size_t>(put);
  }
  constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (::fcntl(file.get(), F_ADD_SEALS, seals) != 0) {
    fail_call(status::io, "fcntl", errno, "the memory file for the next image");
  }
  // Away from the numbers that the program gives out and that are handed over.
  unique_fd moved(::fcntl(file.get(), F_DUPFD_CLOEXEC, 10));
  if (!moved) fail_call(status::io, "fcntl", errno, "the memory file for the next image");
  return moved;
}

// On a thread of its own --------------------------------------------------------------------------

/// Marks the descriptors of this thread, one by one, where the kernel cannot do all at once.
/// @return the call that failed, with errno; null when none did
const char* close_each_on_exec() {
  std::error_code failed;
  std::filesystem::directory_iterator list("/proc/thread-self/fd", failed);
  if (failed) {
    errno = failed.value();
    return "opendir";
  }
  std::vector<int> numbers;
  for (const auto& each : list) numbers.push_back(std::atoi(each.path().filename().c_str()));
  for (const int number : numbers) {
    const int flags = ::fcntl(number, F_GETFD);
    if (number > STDERR_FILENO && flags >= 0) ::fcntl(number, F_SETFD, flags | FD_CLOEXEC);
  }
  return nullptr;
}

/// Gives this thread descriptors of its own, all of which an exec closes. So what other threads
/// open or start meanwhile neither gets into the next image nor inherits what goes there.
/// @return the call that failed, with errno; null when none did
const char* own_descriptors() {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, STDERR_FILENO + 1, ~0U,
                close_range_unshare | close_range_cloexec) == 0) {
    return nullptr;
  }
#endif
  if (::unshare(CLONE_FILES) != 0) return "unshare";
  return close_each_on_exec();
}

/// What the thread that becomes the next image needs.
struct succession {
  const program_file& program;
  const string_array& arguments;
  const string_array& environment;
  std::vector<int> kept;  ///< descriptors
};

/// Why there is no next image.
struct obstacle {
  const char* call = nullptr;
  int code = 0;
};

/// What the kernel keeps for each thread, and a program has set for its main one: processors, and
/// how it is scheduled. The thread that asked may be one of a pool that is tied to a few.
void be_like_the_main_thread() {
  cpu_set_t processors;
  if (::sched_getaffinity(::getpid(), sizeof processors, &processors) == 0) {
    ::sched_setaffinity(0, sizeof processors, &processors);
  }
  sched_param how{};
  const int policy = ::sched_getscheduler(::getpid());
  if (policy >= 0 && ::sched_getparam(::getpid(), &how) == 0) {
    ::sched_setscheduler(0, policy, &how);
  }
}

obstacle succeed(const succession& next) {
  be_like_the_main_thread();
  // What comes for the process waits until the next image has put its mask in order.
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  const char* failed = own_descriptors();
  for (const int each : next.kept) {
    if (failed != nullptr) break;
    if (::fcntl(each, F_SETFD, 0) != 0) failed = "fcntl";
  }
  if (failed == nullptr) {
    next.program.execute(next.arguments.get(), next.environment.get());
    failed = "execve";
  }
  return {failed, errno};
}

[[noreturn]] void fail_with(const obstacle& why, const program_file& program) {
  const std::string what = text("{} cannot replace this process", program.words());
  const bool refused = why.code == EPERM && std::string_view(why.call) == "unshare";
  const bool full = why.code == ENOMEM || why.code == EAGAIN;
  fail_call(refused ? status::unsupported
            : full  ? status::out_of_host_memory
                    : status::io,
            why.call, why.code, what);
}

// ------------------------------------------------------------------------------------------------

void expect_begun(const image& here) {
  if (here.begun) return;
  fail(status::unsupported,
       "the image of this process cannot be replaced: it has not called take_rebirth() at its "
       "beginning, and the next would not either");
}

std::vector<std::string> arguments_of(const rebirth_options& how) {
  return how.arguments.empty() ? own_arguments() : how.arguments;
}

void expect_open(const rebirth_handover& left) {
  for (const auto& [name, number] : left.descriptors) {
    if (::fcntl(number, F_GETFD) >= 0) continue;
    fail(status::invalid_argument, "descriptor {} ('{}'), which was to be handed over, is not open",
         number, name);
  }
}

/// One thread at a time.
class turn {
 public:
  explicit turn(image& of) : of_(of) {
    const std::lock_guard lock(of_.mutex);
    expect_begun(of_);
    if (of_.being_replaced) fail(status::busy, "this process is being replaced already");
    of_.being_replaced = true;
  }
  ~turn() {
    const std::lock_guard lock(of_.mutex);
    of_.being_replaced = false;
  }
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;

 private:
  image& of_;
};

}  // namespace

void expect_rebirth_possible(const rebirth_options& how) {
  image& here = image::current();
  {
    const std::lock_guard lock(here.mutex);
    expect_begun(here);
  }
  const program_file program(how.program);
  expect_size_fits(arguments_of(how), environment_of(how));
  static_cast<void>(make_memory_file());
}

void rebirth(const rebirth_handover& left, const rebirth_options& how) {
  detail::expect_same_process();
  image& here = image::current();
  const turn mine(here);
  const program_file program(how.program);
  std::vector<std::string> given = arguments_of(how);
  std::vector<std::string> variables = environment_of(how);
  expect_size_fits(given, variables);
  expect_open(left);

  rebirth_record record{::getpid(), here.first, {left, here.rebirths + 1}};
  const unique_fd file = write_down(record);
  variables.push_back(text("{}={}", detail::rebirth_variable, file.get()));
  const string_array arguments(std::move(given));
  const string_array environment(std::move(variables));
  succession next{program, arguments, environment, {file.get()}};
  for (const auto& [name, number] : left.descriptors) next.kept.push_back(number);

  obstacle why;
  try {
    std::thread([&] { why = succeed(next); }).join();
  } catch (const std::system_error& failure) {
    fail(status::out_of_host_memory, "rebirth: cannot start its thread: {}", failure.what());
  }
  fail_with(why, program);
}

}  // namespace lull
