#include "config.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <string>

namespace lull::serve {

bool endpoint::is_loopback() const {
  if (host == "localhost" || host == "::1") return true;
  in_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 &&
         (ntohl(address.s_addr) >> 24) == 127;  // a name may begin with "127." too
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
