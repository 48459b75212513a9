#include "daemon/setup_error.hpp"

#include <cstring>

namespace wgring::daemon {

std::string errno_text(int errno_value) {
  const char* const text = ::strerrordesc_np(errno_value);
  return text != nullptr ? text : fmt::format("errno {}", errno_value);
}

std::string error_text(const Error& error) {
  return error.errno_value == 0 ? std::string(error.what)
                                : fmt::format("{}: {}", error.what, errno_text(error.errno_value));
}

}  // namespace wgring::daemon
