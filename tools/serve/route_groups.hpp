#ifndef TOOLS_SERVE_ROUTE_GROUPS_HPP
#define TOOLS_SERVE_ROUTE_GROUPS_HPP

/// @file
/// The interfaces that the router speaks, one function each, in a file of its name. A new one is
/// declared here and takes a line in the list of routes.cpp.

#include "fleet.hpp"
#include "metrics.hpp"
#include "route_table.hpp"
#include "watchers.hpp"

namespace lull::serve {

/// What routes work on; all of it lives as long as they do.
struct router_parts {
  fleet& models;
  metrics& counts;
  watchers& page;         ///< who looks at the page
  watchers& swap_events;  ///< who hears llama-swap's events
};

/// /health and /metrics, and where "/" leads.
void add_own_routes(route_table& to, const router_parts& parts);
/// OpenAI's list of models. What goes to models is not in the table.
void add_openai_routes(route_table& to, const router_parts& parts);
/// Those of llama-server as a router.
void add_llama_routes(route_table& to, const router_parts& parts);
/// llama-swap's.
void add_swap_routes(route_table& to, const router_parts& parts);
/// vLLM's four for administration, for each model.
void add_vllm_routes(route_table& to, const router_parts& parts);
/// What those ask who look at many machines: probes, and the budget as a document.
void add_cluster_routes(route_table& to, const router_parts& parts);
/// The page's.
void add_page_routes(route_table& to, const router_parts& parts);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_ROUTE_GROUPS_HPP
