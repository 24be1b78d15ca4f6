#ifndef TOOLS_SERVE_LAUNCHER_HPP
#define TOOLS_SERVE_LAUNCHER_HPP

/// @file
/// The node's launcher as llm-d's Fast Model Actuation knows it: instances of an inference server
/// that are made, watched and taken away over HTTP. What its routes are called and answer is from
/// llm-d-incubation/llm-d-fast-model-actuation at 553c7b73d70c4bacadc988f35bead7a233eea242:
/// docs/launcher.md, inference_server/launcher/launcher.py, and what of it is relied on from
/// pkg/controller/dual-pods/launcherclient.go and inference-server.go. docs/serve.md says what is
/// otherwise here.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "fleet.hpp"
#include "launcher_events.hpp"
#include "routes.hpp"
#include "session.hpp"

namespace lull::serve {

struct launcher_options {
  launcher_config given;
  std::vector<endpoint> listen = {};  ///< the hosts of these are those of the instances' ports
  access_rules rules = {};
  limits_config limits = {};
  std::filesystem::path folder = {};
  /// A client of an instance.
  std::function<void(session_world& world, tcp_socket socket, std::string door)> came = {};
};

/// All instances, each of which is a model of the fleet until its server ends. On the router's
/// thread.
class launcher {
 public:
  launcher(net::io_context& io, fleet& models, metrics& counts, launcher_options options);
  ~launcher();
  launcher(const launcher&) = delete;
  launcher& operator=(const launcher&) = delete;

  /// What is to be done with a request, if it is for the launcher.
  [[nodiscard]] std::optional<decision> decide(const request_head& asked);
  /// For the instances that come.
  void reconfigure(const launcher_config& given, const limits_config& limits);
  void set_rules(const access_rules& rules);
  /// No more instances.
  void drain() { world_.draining = true; }
  /// No more clients of instances.
  void close_doors();
  /// For sessions at the ports of instances.
  [[nodiscard]] session_world& world() noexcept { return world_; }

 private:
  struct instance;

  [[nodiscard]] decision of_path(const request_head& asked, const std::string& rest);
  [[nodiscard]] decision of_all(const request_head& asked);
  [[nodiscard]] decision of_one(const request_head& asked, const std::string& id);
  [[nodiscard]] decision log_of(const request_head& asked, const std::string& id) const;
  [[nodiscard]] decision watch(const request_head& asked);
  [[nodiscard]] std::optional<decision> at_door(const request_head& asked) const;
  [[nodiscard]] std::optional<decision> not_yet(const request_head& asked) const;

  void create(const std::string& id, bool is_named, const std::string& body, const reply& to);
  [[nodiscard]] std::shared_ptr<instance> make(const std::string& id, bool is_named,
                                               const std::string& body);
  void check_port(std::uint16_t port) const;
  [[nodiscard]] std::uint16_t free_port() const;
  void load(const std::shared_ptr<instance>& which);
  void ended(model& which, const std::optional<exit_status>& how);
  void stopped(const std::shared_ptr<instance>& which, const std::optional<exit_status>& how);
  void remove(const std::shared_ptr<instance>& which, std::function<void(const answer&)> told);
  void put_away(const std::shared_ptr<instance>& which);
  void take_from_fleet(const std::shared_ptr<instance>& which);
  void removed(const std::shared_ptr<instance>& which);
  void remove_all(const reply& to);
  void tell_memory(const reply& to);
  void read_memory();
  [[nodiscard]] nlohmann::json state_of(const instance& which) const;
  [[nodiscard]] std::shared_ptr<instance> find(const std::string& id) const;

  net::io_context& io_;
  fleet& fleet_;
  launcher_options options_;
  access_rules rules_;  ///< without the token where none is needed
  routes door_routes_;
  session_world world_;
  launcher_events events_;
  std::map<std::string, std::shared_ptr<instance>> instances_;
  std::uint64_t log_reader_ = 0;
  std::vector<reply> asking_memory_;
  bool reading_memory_ = false;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_LAUNCHER_HPP
