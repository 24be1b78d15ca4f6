#ifndef TOOLS_SERVE_LAUNCHER_EVENTS_HPP
#define TOOLS_SERVE_LAUNCHER_EVENTS_HPP

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "routes.hpp"

namespace lull::serve {

/// What happened to instances, numbered, and those who watch. On the router's thread.
class launcher_events {
 public:
  /// So many can be asked for again.
  static constexpr std::size_t kept = 1000;

  /// Of the last event; 0: there was none.
  [[nodiscard]] std::uint64_t revision() const noexcept { return revision_; }
  /// For the next event.
  [[nodiscard]] std::uint64_t next_revision() noexcept { return ++revision_; }
  /// @param object has the revision that was taken for it
  void publish(const char* type, const nlohmann::json& object);
  /// Whether all after `since` are there still.
  [[nodiscard]] bool reaches(std::int64_t since) const noexcept;
  [[nodiscard]] std::uint64_t oldest() const noexcept { return revision_ - events_.size(); }

  /// Sends what comes after `since`; absent: what comes from now on, after one event for each of
  /// `there`.
  void watch(const std::shared_ptr<stream>& to, std::optional<std::uint64_t> since,
             const std::vector<nlohmann::json>& there);
  [[nodiscard]] static std::string line(const char* type, const nlohmann::json& object);

 private:
  std::deque<std::string> events_;  ///< without a gap up to revision_
  std::map<std::uint64_t, std::shared_ptr<stream>> watchers_;
  std::uint64_t next_watcher_ = 1;
  std::uint64_t revision_ = 0;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_LAUNCHER_EVENTS_HPP
