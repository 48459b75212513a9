#include "daemon/setup_error.hpp"

#include <cstring>

namespace wgring::daemon {

std::string errno_text(int errno_value) {
  const char* const text = ::strerrordesc_np(errno_value);
  return text != nullptr ? text : fmt::format("errno {}", errno_value);
}

}  // namespace wgring::daemon

fmt::format_context::iterator fmt::formatter<wgring::Error>::format(const wgring::Error& error,
                                                                    fmt::format_context& context) {
  return error.errno_value == 0 ? fmt::format_to(context.out(), "{}", error.what)
                                : fmt::format_to(context.out(), "{}: {}", error.what,
                                                 wgring::daemon::errno_text(error.errno_value));
}
