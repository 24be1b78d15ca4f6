#include "report/step_timer.hpp"

namespace lull::detail {

step_timer::step_timer(std::vector<step_report>& steps, const clock& time, std::string_view name)
    : steps_(steps), place_(steps.size()), clock_(time), begun_(time.now()) {
  steps_.push_back({std::string{name}, {}, 0});
}

step_timer::~step_timer() {
  steps_[place_].elapsed = clock_.now() - begun_;
}

}  // namespace lull::detail
