#include "launcher_events.hpp"

#include <nlohmann/json.hpp>

namespace lull::serve {

using nlohmann::json;

std::string launcher_events::line(const char* type, const json& object) {
  return json{{"type", type}, {"object", object}}.dump(-1, ' ', false,
                                                       json::error_handler_t::replace) +
         "\n";
}

void launcher_events::publish(const char* type, const json& object) {
  events_.push_back(line(type, object));
  if (events_.size() > kept) events_.pop_front();
  const auto all = watchers_;  // one that does not read ends while it is told
  for (const auto& [number, to] : all) to->send(events_.back());
}

/// One that was never given out is of another launcher, whose events are not there either.
bool launcher_events::reaches(std::int64_t since) const noexcept {
  return since >= 0 && static_cast<std::uint64_t>(since) >= oldest() &&
         static_cast<std::uint64_t>(since) <= revision_;
}

void launcher_events::watch(const std::shared_ptr<stream>& to, std::optional<std::uint64_t> since,
                            const std::vector<json>& there) {
  std::string text;
  for (const json& each : there) text += line("CREATED", each);
  if (since) {
    for (std::size_t i = static_cast<std::size_t>(*since - oldest()); i < events_.size(); ++i) {
      text += events_[i];
    }
  }
  to->send(text);
  const std::uint64_t number = next_watcher_++;
  watchers_[number] = to;
  to->on_end([this, number] { watchers_.erase(number); });
}

}  // namespace lull::serve
