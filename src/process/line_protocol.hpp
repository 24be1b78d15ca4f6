#ifndef LULL_PROCESS_LINE_PROTOCOL_HPP
#define LULL_PROCESS_LINE_PROTOCOL_HPP

#include <lull/process.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>

namespace lull::detail {

/// A line and its newline: what Linux writes to a pipe in one piece (PIPE_BUF).
inline constexpr std::size_t max_line_bytes = 4096;

/// Why a line was refused: a text that lives for ever.
using refusal = std::string_view;

/// Reads one line of the protocol, without its newline. Never throws for what the line holds.
std::variant<process_event, refusal> parse_line(std::string_view line);

/// Cuts a stream into lines and reads them. Garbage goes to `on_rejected` and is skipped; holds no
/// more than one line, whatever comes.
class line_decoder {
 public:
  /// @param on_event,on_rejected must not throw
  line_decoder(std::function<void(const process_event&)> on_event,
               std::function<void(const rejected_line&)> on_rejected);

  /// A line that there is no memory to read is rejected.
  void feed(std::string_view bytes) noexcept;
  /// The stream has ended: what is there without a newline is no line.
  void finish() noexcept;

 private:
  void take(std::string_view bytes) noexcept;
  void end_line() noexcept;
  void reject(std::string_view reason) noexcept;

  std::function<void(const process_event&)> on_event_;
  std::function<void(const rejected_line&)> on_rejected_;
  std::string line_;              ///< its beginning, in the room for max_line_bytes that it has
  std::uint64_t line_bytes_ = 0;  ///< of all of it
};

}  // namespace lull::detail

#endif  // LULL_PROCESS_LINE_PROTOCOL_HPP
