#include "core/device_match.hpp"

#include <lull/error.hpp>

#include <algorithm>
#include <string>

#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

std::string lower(std::string_view text) {
  std::string result{text};
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

/// One spelling for all: lower case, without leading zeros of the domain, "0:65:00.0".
std::string canonical_pci(std::string_view address) {
  std::string text = lower(address);
  const auto colons = std::count(text.begin(), text.end(), ':');
  if (colons == 1) return "0:" + text;
  const auto digit = text.find_first_not_of('0');
  if (digit != std::string::npos) text.erase(0, text[digit] == ':' ? digit - 1 : digit);
  return text;
}

}  // namespace

bool matches(const device& candidate, std::string_view name) {
  if (name.empty()) return false;
  const std::string wanted = lower(name);
  if (wanted == lower(candidate.name())) return true;
  if (!candidate.uuid().empty() && wanted == lower(candidate.uuid())) return true;
  return !candidate.pci_address().empty() &&
         canonical_pci(wanted) == canonical_pci(candidate.pci_address());
}

std::vector<std::string_view> split_list(std::string_view list) {
  std::vector<std::string_view> parts;
  for (std::string_view rest = list;;) {
    const auto comma = rest.find(',');
    std::string_view part = rest.substr(0, comma);
    const auto first = part.find_first_not_of(" \t");
    if (first == std::string_view::npos) {
      fail(status::invalid_argument,
           "'{}' has an empty name in it; write names with one comma between them", list);
    }
    part = part.substr(first, part.find_last_not_of(" \t") - first + 1);
    parts.push_back(part);
    if (comma == std::string_view::npos) return parts;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace lull::detail
