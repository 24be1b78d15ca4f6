#include "fleet/fleet.hpp"

#include "fleet/by_bytes.hpp"
#include "fleet/whole_gpu.hpp"

namespace bench::fleet {
namespace {

outcome run_node(const node_load& load, const contestant& who) {
  switch (who.by) {
    case contestant::kind::counted: return run_whole_gpu(load, *counted_sleepers(who.limit));
    case contestant::kind::by_bytes: return run_by_bytes(load, true);
    case contestant::kind::many_awake: return run_by_bytes(load, false);
    case contestant::kind::clairvoyant: return run_whole_gpu(load, *clairvoyant(load));
  }
  return {};
}

}  // namespace

/// A model stays with its node, so that nothing passes from one to another: one after the other
/// they come to the same as all at once.
outcome run(const fleet_load& load, const contestant& who) {
  outcome all;
  for (const node_load& node : load.nodes) all += run_node(node, who);
  return all;
}

}  // namespace bench::fleet
