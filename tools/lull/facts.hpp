#ifndef TOOLS_LULL_FACTS_HPP
#define TOOLS_LULL_FACTS_HPP

#include <lull/bytes.hpp>
#include <lull/clock.hpp>
#include <lull/device.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace lull::tool {

/// How long a command that was told to end may still take: all it does is to write, perhaps into a
/// pipe that nobody reads.
inline constexpr std::chrono::milliseconds patience_of_output{500};

/// "unknown" where the platform cannot tell.
inline std::string bytes_text(const std::optional<std::uint64_t>& bytes) {
  return bytes ? format_bytes(*bytes) : "unknown";
}

/// null where the platform cannot tell.
inline nlohmann::ordered_json bytes_json(const std::optional<std::uint64_t>& bytes) {
  return bytes ? nlohmann::ordered_json(*bytes) : nlohmann::ordered_json();
}

/// null for an empty text.
inline nlohmann::ordered_json text_json(const std::string& text) {
  return text.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(text);
}

/// As text. What is not UTF-8 in it, such as a path, is shown as far as it can be.
/// @param indent below 0: on one line
inline std::string json_dump(const nlohmann::ordered_json& value, int indent = -1) {
  return value.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

inline double milliseconds(duration span) {
  return std::chrono::duration<double, std::milli>(span).count();
}

inline nlohmann::ordered_json memory_json(const memory_info& memory) {
  return {{"total_bytes", bytes_json(memory.total_bytes)},
          {"free_bytes", bytes_json(memory.free_bytes)},
          {"used_by_process_bytes", bytes_json(memory.used_by_process_bytes)},
          {"source", to_string(memory.source)}};
}

}  // namespace lull::tool

#endif  // TOOLS_LULL_FACTS_HPP
