#ifndef BENCH_FLEET_FLEET_HPP
#define BENCH_FLEET_FLEET_HPP

/// @file
/// Many nodes under one contestant.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fleet/machine.hpp"
#include "fleet/traffic.hpp"

namespace bench::fleet {

/// Who decides which models stay asleep on a node.
struct contestant {
  enum class kind : std::uint8_t {
    counted,      ///< the controller's own rule
    by_bytes,     ///< lull::budget, where one model at a time is awake
    many_awake,   ///< lull::budget, as many as fit
    clairvoyant,  ///< by bytes, knowing all requests to come
  };
  std::string_view name;
  kind by = kind::counted;
  std::size_t limit = 0;  ///< counted: sleepers on a GPU
};

/// The controller with its program's own limit, its chart's, and larger ones; and the others.
inline constexpr std::array contestants = {
    contestant{"counted, limit 1", contestant::kind::counted, 1},
    contestant{"counted, limit 2", contestant::kind::counted, 2},
    contestant{"counted, limit 4", contestant::kind::counted, 4},
    contestant{"counted, limit 8", contestant::kind::counted, 8},
    contestant{"counted, limit 12", contestant::kind::counted, 12},
    contestant{"by bytes", contestant::kind::by_bytes},
    contestant{"by bytes, many awake", contestant::kind::many_awake},
    contestant{"clairvoyant", contestant::kind::clairvoyant},
};

outcome run(const fleet_load& load, const contestant& who);

}  // namespace bench::fleet

#endif  // BENCH_FLEET_FLEET_HPP
