#ifndef TOOLS_SERVE_STATE_JSON_HPP
#define TOOLS_SERVE_STATE_JSON_HPP

/// @file
/// What models and devices are like, as the interfaces that people have want it.

#include <nlohmann/json_fwd.hpp>

#include "fleet.hpp"
#include "model.hpp"

namespace lull::serve {

/// For the page: all of it.
[[nodiscard]] nlohmann::json ui_state(fleet& models);
/// GET /v1/models and GET /models: OpenAI's list, with llama.cpp's states.
[[nodiscard]] nlohmann::json model_list(const fleet& models);
/// llama-swap's GET /running.
[[nodiscard]] nlohmann::json running_list(const fleet& models);
/// llama-swap's list in its events.
[[nodiscard]] nlohmann::json swap_status(const fleet& models);

/// llama.cpp's word for a state: "unloaded", "loading", "loaded", "sleeping".
[[nodiscard]] const char* llama_state(model::phase is) noexcept;
/// llama-swap's: "stopped", "starting", "ready", "stopping".
[[nodiscard]] const char* swap_state(model::phase is) noexcept;

}  // namespace lull::serve

#endif  // TOOLS_SERVE_STATE_JSON_HPP
