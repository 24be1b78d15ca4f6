#ifndef TOOLS_SERVE_ROUTES_HPP
#define TOOLS_SERVE_ROUTES_HPP

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "access.hpp"
#include "fleet.hpp"
#include "metrics.hpp"
#include "route_table.hpp"
#include "watchers.hpp"

namespace lull::serve {

/// Which request is for whom: for the router itself, or for which model.
class routes {
 public:
  routes(fleet& models, metrics& counts, access_rules rules);
  routes(const routes&) = delete;
  routes& operator=(const routes&) = delete;

  [[nodiscard]] decision decide(const header_fields& fields, std::string_view method,
                                std::string_view target, bool upgrade);
  /// For a request that names its model in its body.
  [[nodiscard]] decision for_model(const std::optional<std::string>& name,
                                   const std::string& target) const;
  void set_rules(access_rules rules) { rules_ = std::move(rules); }
  /// Asked before anything else that is not about who asks; absent: it goes on as usual.
  using earlier = std::function<std::optional<decision>(const request_head&)>;
  void ask_first(earlier whom) { first_ = std::move(whom); }
  /// Tells those who watch.
  void tell_change();
  void tell_time();

 private:
  [[nodiscard]] decision upstream(const request_head& asked) const;
  [[nodiscard]] decision for_query(const request_head& asked, const std::string& name) const;

  fleet& fleet_;
  access_rules rules_;
  earlier first_;
  watchers page_;
  watchers swap_events_;
  route_table table_;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_ROUTES_HPP
