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
  line_decoder(std::function<void(const process_event&)> on_event,
               std::function<void(const rejected_line&)> on_rejected);

  void feed(std::string_view bytes);
  /// The stream has ended: what is there without a newline is no line.
  void finish();

 private:
  void take(std::string_view bytes);
  void end_line();
  void reject(std::string_view reason);

  std::function<void(const process_event&)> on_event_;
  std::function<void(const rejected_line&)> on_rejected_;
  std::string line_;              ///< its beginning, up to max_line_bytes
  std::uint64_t line_bytes_ = 0;  ///< of all of it
};

}  // namespace lull::detail

#endif  // LULL_PROCESS_LINE_PROTOCOL_HPP
