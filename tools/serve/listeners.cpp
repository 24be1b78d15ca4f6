#include "listeners.hpp"

#include <fstream>
#include <iterator>
#include <sstream>

#include <fmt/format.h>

namespace lull::serve {
namespace {

std::string contents_of(const char* path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

bool listens_everywhere(std::string_view table, std::uint16_t port) {
  constexpr std::string_view listening = "0A";
  const std::string wanted = fmt::format("{:04X}", port);
  std::istringstream lines{std::string(table)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string number;
    std::string local;
    std::string remote;
    std::string state;
    if (!(words >> number >> local >> remote >> state) || state != listening) continue;
    const std::size_t colon = local.find(':');
    if (colon == std::string::npos || local.substr(colon + 1) != wanted) continue;
    if (local.find_first_not_of('0') == colon) return true;
  }
  return false;
}

std::string open_to_others(std::uint16_t port) {
  if (listens_everywhere(contents_of("/proc/self/net/tcp"), port)) {
    return fmt::format("0.0.0.0:{}", port);
  }
  if (listens_everywhere(contents_of("/proc/self/net/tcp6"), port)) {
    return fmt::format("[::]:{}", port);
  }
  return {};
}

}  // namespace lull::serve
