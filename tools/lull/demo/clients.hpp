#ifndef TOOLS_LULL_DEMO_CLIENTS_HPP
#define TOOLS_LULL_DEMO_CLIENTS_HPP

#include <chrono>
#include <string>
#include <vector>

#include "timeline.hpp"

namespace lull::demo {

/// What several clients, who asked at the same time, got.
struct answers {
  std::vector<std::string> texts;  ///< by client, then by prompt
  seconds first{};                 ///< from the asking to the first answer
};

/// Lets `clients` clients, each on a thread and a connection of its own, ask a few prompts each;
/// the first ones all at once. The same prompts at every call.
/// @param patience how long a client waits for an answer
/// @throws what any client met, after all have ended
answers ask_all(int port, unsigned clients, std::chrono::seconds patience);

}  // namespace lull::demo

#endif  // TOOLS_LULL_DEMO_CLIENTS_HPP
