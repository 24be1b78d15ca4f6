#include "watchers.hpp"

namespace lull::serve {

void watchers::add(const std::shared_ptr<stream>& to) {
  to->send(words_());
  const std::uint64_t number = next_++;
  streams_[number] = to;
  to->on_end([this, number] { streams_.erase(number); });
}

void watchers::tell() {
  if (streams_.empty()) return;
  const std::string text = words_();
  const auto all = streams_;  // one may end while it is told
  for (const auto& [number, each] : all) each->send(text);
}

}  // namespace lull::serve
