#ifndef TOOLS_PLAN_ENGINE_OPTIONS_HPP
#define TOOLS_PLAN_ENGINE_OPTIONS_HPP

#include <optional>
#include <string>
#include <vector>

#include "gguf/estimate.hpp"

namespace lull::plan {

/// What the command line of a llama.cpp server says of its model and how it is used.
struct engine_options {
  std::string model_file;
  gguf::model_use use = {};        ///< without devices
  std::vector<double> split = {};  ///< `--tensor-split`; empty: as they are
};

/// Looks for llama.cpp's options in a command line, whatever else is in there.
/// @return nothing without a model file
/// @throws error (invalid_argument) for an option whose value is none
[[nodiscard]] std::optional<engine_options> engine_options_of(
    const std::vector<std::string>& command);

}  // namespace lull::plan

#endif  // TOOLS_PLAN_ENGINE_OPTIONS_HPP
