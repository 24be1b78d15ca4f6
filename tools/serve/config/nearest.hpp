#ifndef TOOLS_SERVE_CONFIG_NEAREST_HPP
#define TOOLS_SERVE_CONFIG_NEAREST_HPP

#include <string>
#include <string_view>
#include <vector>

namespace lull::serve {

/// The one of `known` that somebody who wrote `given` will have meant: few letters differ, whatever
/// their case, underscores and dashes. Empty where none is near.
std::string nearest(std::string_view given, const std::vector<std::string>& known);

/// "; did you mean 'ttl'?", or nothing.
std::string did_you_mean(std::string_view given, const std::vector<std::string>& known);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_CONFIG_NEAREST_HPP
