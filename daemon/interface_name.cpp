#include "daemon/interface_name.hpp"

#include <algorithm>

#include <net/if.h>

namespace wgring::daemon {

std::string_view interface_name_fault(std::string_view name) noexcept {
  if (name.empty() || name.size() >= IFNAMSIZ) {
    return "an interface name has 1 to 15 bytes";
  }
  if (name == "." || name == "..") {
    return "an interface name cannot be \".\" or \"..\"";
  }
  const auto is_refused = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '/' || c == ':' || byte <= ' ' || byte == 0x7f;
  };
  if (std::ranges::any_of(name, is_refused)) {
    return "an interface name has no '/', ':', white space or control characters";
  }
  return {};
}

}  // namespace wgring::daemon
