#ifndef TOOLS_LULL_DEMO_DEMO_HPP
#define TOOLS_LULL_DEMO_DEMO_HPP

#include <lull/sleeper.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

namespace lull::demo {

struct demo_options {
  std::uint64_t model_bytes = 0;
  std::filesystem::path model;      ///< empty: in `output`, named after its size
  std::vector<sleep_level> levels;  ///< empty: all that the device can do
  std::string device;               ///< empty: the first GPU that can hold regions, else HOST
  unsigned clients = 4;
  std::filesystem::path output;  ///< made when it is missing
  std::filesystem::path server;  ///< empty: looked for beside this program
  std::function<void(const std::string& line)> progress;
};

/// The main job, end to end: makes the model, runs a server through each level, tells what was
/// measured through `progress`, and writes the picture and the series.
/// @return everything that is not as it must be, a sentence each; empty when all is well
/// @throws error what kept it from finishing; cancelled
std::vector<std::string> run_demo(const demo_options& options, const std::stop_token& stop);

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_DEMO_HPP
