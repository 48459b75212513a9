// What ends the start of the process: one line for the operator, naming the call or option and the
// likely cause. Thrown and caught inside daemon/ only.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/result.hpp"

namespace wgring::daemon {

class SetupError : public std::runtime_error {
 public:
  explicit SetupError(const std::string& line) : std::runtime_error(line) {}
};

// "Address already in use" and the like.
[[nodiscard]] std::string errno_text(int errno_value);

template <typename... Arguments>
[[noreturn]] void fail_setup(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  throw SetupError(fmt::format(format, std::forward<Arguments>(arguments)...));
}

}  // namespace wgring::daemon

// "bind(): Address already in use". A line of the log is made where want of memory is no harm.
template <>
struct fmt::formatter<wgring::Error> {
  static constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  static fmt::format_context::iterator format(const wgring::Error& error,
                                              fmt::format_context& context);
};
