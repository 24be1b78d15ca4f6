#ifndef TOOLS_SERVE_CONFIG_READ_PARTS_HPP
#define TOOLS_SERVE_CONFIG_READ_PARTS_HPP

/// @file
/// The parts that a configuration is read in. Each adds what is wrong to the findings.

#include <yaml-cpp/yaml.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config.hpp"
#include "macros.hpp"
#include "section.hpp"

namespace lull::serve {

/// What the file says for all models, and each may say for itself.
struct model_defaults {
  duration check_timeout = std::chrono::seconds{120};
  duration stop_timeout = std::chrono::seconds{10};
  duration ttl{};  ///< 0: never
  duration min_resident{};
  std::optional<duration> max_wait = {};
  bool allow_remote = false;
  std::vector<sleep_rung> ladder = {};  ///< as read_ladder() gives it
};

/// A model whose port is not chosen yet.
struct model_draft {
  model_config value = {};
  std::string command = {};  ///< these may still have a ${PORT}
  std::string stop_command = {};
  std::string proxy = {};
  std::map<std::string, text_place> places = {};  ///< by key

  [[nodiscard]] bool needs_port() const;
};

/// A model but for its port.
/// @param router what stands beside the models, whose devices `memory` may name
model_draft read_model(findings& found, const section::entry& given, const config& router,
                       const model_defaults& defaults, const macros& shared);

/// Fills in the port, and takes commands and the address apart.
void finish_model(findings& found, model_draft& draft, std::optional<std::uint16_t> port);

/// `sleep`, `level` and `ladder`, of a model or of the file. Absent where none of them is there.
/// `stop` is among them only where it was written.
std::optional<std::vector<sleep_rung>> read_ladder(section& given, const config& router);

/// `memory` or `left`: a size on each of some devices, which the router must have if it has a list.
bytes_by_device read_sizes(section given, const config& router);

/// listen, token, limits, devices, margin, and where things are kept.
void read_router(section& given, config& into);

/// `groups`, here or in `routing`; the models of none of them are one more, as in llama-swap.
/// `hooks`, and priorities in `routing`.
void read_relations(section& given, config& into);

/// Ports of this machine, each of which one has.
class port_list {
 public:
  port_list(findings& found, std::uint16_t first) : found_(&found), next_(first) {}

  /// @param who "models.llama.proxy"
  void take(std::uint16_t port, const text_place& who);
  /// The next one that nobody has.
  std::optional<std::uint16_t> give(const text_place& who);

 private:
  findings* found_;
  std::uint32_t next_;
  std::map<std::uint16_t, std::string> taken_;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_CONFIG_READ_PARTS_HPP
