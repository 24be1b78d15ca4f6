#include "timeline.hpp"

namespace lull::demo {

std::string_view to_string(phase_kind kind) noexcept {
  switch (kind) {
    case phase_kind::start: return "start";
    case phase_kind::awake: return "awake";
    case phase_kind::going_to_sleep: return "going to sleep";
    case phase_kind::asleep: return "asleep";
    case phase_kind::waking: return "waking";
  }
  return "?";
}

}  // namespace lull::demo
