#ifndef LULL_BACKENDS_COMMON_PCI_ADDRESS_HPP
#define LULL_BACKENDS_COMMON_PCI_ADDRESS_HPP

#include <algorithm>
#include <cctype>
#include <string>

namespace lull::backends {

/// "0000:65:00.0" of a device, in lower case, as the kernel and the management libraries have it.
/// @param ask what writes it into a text of a length
template <class Api, class Function>
std::string pci_address_of(const Api& api, const Function& ask, int device) {
  char text[32] = {};
  api.check(ask(text, sizeof text, device), Function::name);
  std::string address = text;
  std::transform(address.begin(), address.end(), address.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return address;
}

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_PCI_ADDRESS_HPP
