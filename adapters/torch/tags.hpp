#ifndef LULL_ADAPTERS_TORCH_TAGS_HPP
#define LULL_ADAPTERS_TORCH_TAGS_HPP

#include <lull/lull.h>

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace lull_torch {

/// What allocations have whose thread has none.
inline constexpr const char* default_tag = "default";

/// Which tags are asleep, also those that nothing has yet. Not thread-safe.
class sleeping_tags {
 public:
  [[nodiscard]] bool contains(std::string_view tag) const;
  /// What the plan takes off is asleep from now on; the rest stays as it is.
  void add(const lull_eviction_plan& plan);
  void add(const std::string& tag) { set(tag, true); }
  void remove(const std::vector<std::string>& tags);
  void clear();

 private:
  void set(const std::string& tag, bool asleep);

  bool all_ = false;
  std::set<std::string, std::less<>> exceptions_;  ///< from what all_ says
};

}  // namespace lull_torch

#endif  // LULL_ADAPTERS_TORCH_TAGS_HPP
