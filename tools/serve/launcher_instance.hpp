#ifndef TOOLS_SERVE_LAUNCHER_INSTANCE_HPP
#define TOOLS_SERVE_LAUNCHER_INSTANCE_HPP

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher.hpp"
#include "launcher_door.hpp"
#include "launcher_log.hpp"
#include "launcher_request.hpp"

namespace lull::serve {

/// What is known of one, also after its server has ended.
struct launcher::instance {
  instance(std::string name, instance_request what, const std::filesystem::path& folder)
      : id(std::move(name)), asked(std::move(what)), log(folder) {}

  /// What it does, in a word.
  [[nodiscard]] std::string state() const;

  std::string id;
  instance_request asked;
  bool is_named = false;
  std::uint16_t port = 0;
  launcher_log log;
  std::unique_ptr<launcher_door> door = {};
  std::shared_ptr<model> served = {};  ///< null when the fleet has forgotten it
  std::uint64_t revision = 0;          ///< of the last event about it
  bool was_ready = false;
  bool stopped = false;
  std::optional<int> exit_code = {};  ///< minus the signal; absent: not known
  std::string reason = {};
  bool removing = false;
  std::vector<std::function<void(const answer&)>> told = {};  ///< when it is removed
};

/// "0f7c2c5e-...": nobody guesses it.
[[nodiscard]] std::string random_instance_id();
/// With the words where clients of the original look for them, too.
[[nodiscard]] answer launcher_refusal(const refusal& why);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_LAUNCHER_INSTANCE_HPP
