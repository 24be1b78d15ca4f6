#ifndef TOOLS_SERVE_WATCHERS_HPP
#define TOOLS_SERVE_WATCHERS_HPP

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "answer.hpp"

namespace lull::serve {

/// Streams that are told what changes, in the words of one interface.
class watchers {
 public:
  /// @param words the event that says how things stand, whole
  explicit watchers(std::function<std::string()> words) : words_(std::move(words)) {}

  void add(const std::shared_ptr<stream>& to);
  void tell();
  [[nodiscard]] bool empty() const noexcept { return streams_.empty(); }

 private:
  std::function<std::string()> words_;
  std::map<std::uint64_t, std::shared_ptr<stream>> streams_;
  std::uint64_t next_ = 1;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_WATCHERS_HPP
