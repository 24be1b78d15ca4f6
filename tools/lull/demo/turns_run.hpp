#ifndef TOOLS_LULL_DEMO_TURNS_RUN_HPP
#define TOOLS_LULL_DEMO_TURNS_RUN_HPP

#include <lull/device.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "server_client.hpp"
#include "server_process.hpp"
#include "timeline.hpp"

namespace lull::demo {

/// A request for one of several models, and what the server did for it.
struct turn {
  std::string model;
  bool is_first = false;  ///< of its model
  seconds answered_after{};
  bool answer_equal = true;  ///< to the first one of its model
  std::vector<displaced_model> displaced;
  std::vector<std::string> loaded;  ///< afterwards
  std::uint64_t held_bytes = 0;     ///< afterwards, by all models
};

/// Three models that take turns on a device that holds two.
struct turns_result {
  std::string device;
  std::vector<std::string> models;
  std::uint64_t model_bytes = 0;  ///< of each
  std::uint64_t limit_bytes = 0;  ///< what they may hold together
  std::vector<turn> turns;
};

struct turns_options {
  server_options server;  ///< model and further arguments are set here
  std::filesystem::path models_directory;
  std::uint64_t most_model_bytes = 0;
  std::function<void(const std::string& line)> progress;
};

/// Makes the models, looks what one takes, and runs a server with a margin that leaves room for two
/// and a half of them.
/// @return none on a device that does not say what is free
/// @throws error as run_level()
std::optional<turns_result> run_turns(const turns_options& options, const device& where,
                                      const std::stop_token& stop);

/// What is not as it must be, a sentence each.
std::vector<std::string> judge(const turns_result& what);

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_TURNS_RUN_HPP
