#ifndef TOOLS_LULL_DEMO_CHILD_PROCESS_HPP
#define TOOLS_LULL_DEMO_CHILD_PROCESS_HPP

#include <lull/clock.hpp>

#include <sys/types.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace lull::demo {

/// A file descriptor with an owner.
class unique_fd {
 public:
  explicit unique_fd(int fd = -1) noexcept : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept;
  unique_fd& operator=(unique_fd&& other) noexcept;
  ~unique_fd();
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

/// A program that runs until this object is destroyed: then it is asked to end, killed when it does
/// not, and reaped. It is killed by the kernel, too, when this process dies without a destructor.
class child_process {
 public:
  /// Must be called on a thread that lives as long as the child: the kernel ties the child's life
  /// to it.
  /// @throws error io: the program cannot be started
  child_process(const std::filesystem::path& program, const std::vector<std::string>& arguments);
  ~child_process();
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;

  [[nodiscard]] pid_t id() const noexcept { return id_; }

  /// The first line of its standard output, without the line end.
  /// @throws error io: it closed its output without one; timed_out; cancelled
  [[nodiscard]] std::string first_line(time_point deadline, const std::stop_token& stop);

  /// How it ended, "killed by signal 9 (Killed)"; absent while it runs. Waits for its end until
  /// `deadline`.
  [[nodiscard]] std::optional<std::string> ending(time_point deadline) const;

  /// The end of what it wrote to standard error. Waits a moment for what is still in the pipe.
  [[nodiscard]] std::string last_words();

  /// Kills it at once; harmless when it has ended. Thread-safe.
  void kill() const noexcept;

 private:
  void read_output(const std::stop_token& stop, const unique_fd& output, const unique_fd& errors);

  pid_t id_ = -1;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::string output_;
  std::string errors_;
  bool output_ended_ = false;
  bool errors_ended_ = false;
  std::jthread reader_;
};

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_CHILD_PROCESS_HPP
