#ifndef TOOLS_SERVE_LAUNCHER_REQUEST_HPP
#define TOOLS_SERVE_LAUNCHER_REQUEST_HPP

/// @file
/// What somebody asks the launcher for, and the server that is made of it. What is wrong is thrown
/// as std::invalid_argument, whose words say what would be right.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "holdings.hpp"

namespace lull::serve {

/// The body of a request for an instance.
struct instance_request {
  std::string options;
  std::vector<std::string> gpu_uuids = {};
  std::map<std::string, std::string> env_vars = {};
  /// Whoever asks has them back; they mean nothing here.
  std::map<std::string, std::string> annotations = {};
};
[[nodiscard]] instance_request parse_instance(std::string_view body);

/// Letters, digits and `._~:-`, at most 200, and not "watch".
void check_instance_id(std::string_view id);

/// Splits options where blanks are, as FMA's own launcher does: quotes inside a word are part of it
/// (`{"a":1}`). A word that begins with a quote ends with the next one like it.
[[nodiscard]] std::vector<std::string> split_options(std::string_view text);

/// Options without `--port` and `--host`, which are the router's, and the port that was among them.
struct served_options {
  std::vector<std::string> words;
  std::uint16_t port = 8000;  ///< vLLM's default
};
[[nodiscard]] served_options take_port(std::vector<std::string> words);

/// Devices that requests call by their UUIDs.
[[nodiscard]] std::vector<shared_device> find_by_uuid(const std::vector<shared_device>& known,
                                                      const std::vector<std::string>& uuids);

/// The variable by which a server sees these devices and no others: "CUDA_VISIBLE_DEVICES", "1,0".
/// @param visible that variable in the router's own environment: numbers mean places in it
[[nodiscard]] std::pair<std::string, std::string> visible_devices(
    const std::vector<shared_device>& chosen, bool by_uuid,
    const std::function<std::optional<std::string>(const std::string&)>& visible);

/// The model that serves it, on a port of its own, but for what it holds.
[[nodiscard]] model_config make_instance(const model_config& like, const std::string& id,
                                         const instance_request& asked,
                                         const std::vector<std::string>& options,
                                         std::uint16_t port);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_LAUNCHER_REQUEST_HPP
