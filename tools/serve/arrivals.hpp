#ifndef TOOLS_SERVE_ARRIVALS_HPP
#define TOOLS_SERVE_ARRIVALS_HPP

#include <lull/clock.hpp>

#include <map>
#include <optional>
#include <string>

namespace lull::serve {

/// How long a model took to come, by what it was before: its own part, without the wait for room.
class arrivals {
 public:
  /// @param from "cold", or the level that it slept at
  void begin(std::string from, time_point now);
  /// It can serve. @return how long that took; absent where nothing had begun
  std::optional<duration> end(time_point now);
  /// It has come to nothing.
  void give_up() { began_ = {}; }

  /// Averaged, the last ones counting most; absent: none was seen.
  [[nodiscard]] std::optional<duration> expected(const std::string& from) const;
  /// Of the last one that began.
  [[nodiscard]] const std::string& from() const noexcept { return from_; }
  /// The one that is under way; zero where none is.
  [[nodiscard]] time_point began() const noexcept { return began_; }

 private:
  std::string from_;
  time_point began_{};
  std::map<std::string, duration> means_;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_ARRIVALS_HPP
