#ifndef LULL_CAPI_GRAPH_HANDLES_HPP
#define LULL_CAPI_GRAPH_HANDLES_HPP

#include <lull/graph_cache.h>
#include <lull/graph_cache.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace lull::capi {

struct graph_key_hash {
  /// A number comes out as it went in, which the cache's own mixing is made for. The factor is a prime
  /// of xxHash64 (PRIME64_2), and not the cache's: so no pair of halves undoes that mixing.
  std::size_t operator()(const lull_graph_key& key) const noexcept {
    return key.low ^ (key.high * 0xC2B2AE3D27D4EB4FU);
  }
};

struct graph_key_equal {
  bool operator()(const lull_graph_key& a, const lull_graph_key& b) const noexcept {
    return a.low == b.low && a.high == b.high;
  }
};

using typed_graph_cache = graph_cache<lull_graph_key, void*, graph_key_hash, graph_key_equal>;

/// @throws error (invalid_argument)
std::shared_ptr<graph_driver> make_graph_driver(const lull_graph_cache_options& given);
graph_cache_options make_graph_cache_options(const lull_graph_cache_options& given);

/// C says 0 for: no bound.
inline std::optional<std::uint64_t> bound_of(std::uint64_t given) noexcept {
  return given == 0 ? std::nullopt : std::optional(given);
}
inline std::optional<std::uint64_t> figure_of(std::uint64_t given) noexcept {
  return given == LULL_UNKNOWN ? std::nullopt : std::optional(given);
}
/// A graph holds something, so that 0 says "not known" too.
inline std::optional<std::uint64_t> footprint_of(std::uint64_t given) noexcept {
  return given == 0 ? std::nullopt : figure_of(given);
}
graph_limits make_graph_limits(const lull_graph_limits& given);

}  // namespace lull::capi

struct lull_graph_cache {
  std::shared_ptr<lull::graph_driver> driver;
  lull::capi::typed_graph_cache value;
};

struct lull_graph_budget {
  lull::graph_budget value;
};

struct lull_graph_hold {
  lull::graph_hold value;
};

#endif  // LULL_CAPI_GRAPH_HANDLES_HPP
