#include <nlohmann/json.hpp>

#include "route_groups.hpp"

namespace lull::serve {

void add_own_routes(route_table& to, const router_parts& parts) {
  to.look("/health", [] { return json_answer({{"status", "ok"}}); });
  to.look("/metrics", [parts] {
    answer page = text_answer(parts.counts.page(parts.models));
    page.type = "text/plain; version=0.0.4; charset=utf-8";
    return page;
  });
}

}  // namespace lull::serve
