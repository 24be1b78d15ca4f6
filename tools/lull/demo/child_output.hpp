#ifndef TOOLS_LULL_DEMO_CHILD_OUTPUT_HPP
#define TOOLS_LULL_DEMO_CHILD_OUTPUT_HPP

#include <lull/clock.hpp>

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

namespace lull::demo {

/// Reads what a child writes to its standard output and standard error, so that it never has to
/// wait for a full pipe, and keeps the beginning of the one and the end of the other.
class child_output {
 public:
  /// @param output,errors the reading ends of its pipes, which belong to this object from here on
  child_output(int output, int errors);
  ~child_output();
  child_output(const child_output&) = delete;
  child_output& operator=(const child_output&) = delete;

  /// The first line of its standard output, without the line end.
  /// @throws error io: it closed its output without one; timed_out; cancelled
  [[nodiscard]] std::string first_line(time_point deadline, const std::stop_token& stop);

  /// The end of what it wrote to standard error. Waits a moment for what is still in the pipe.
  [[nodiscard]] std::string last_words();

 private:
  void read(const std::stop_token& stop);

  const int output_;
  const int errors_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::string said_;
  std::string complained_;
  bool output_ended_ = false;
  bool errors_ended_ = false;
  std::jthread reader_;
};

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_CHILD_OUTPUT_HPP
