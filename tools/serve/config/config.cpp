#include "config.hpp"

#include <algorithm>
#include <string>

namespace lull::serve {

bool endpoint::is_loopback() const {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

std::string endpoint::text() const {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return (is_ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

const model_config* config::find(const std::string& name) const {
  const auto is_meant = [&](const model_config& model) {
    return model.name == name ||
           std::find(model.aliases.begin(), model.aliases.end(), name) != model.aliases.end();
  };
  const auto found = std::find_if(models.begin(), models.end(), is_meant);
  return found == models.end() ? nullptr : &*found;
}

}  // namespace lull::serve
