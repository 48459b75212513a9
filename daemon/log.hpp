// Where log lines go. No key, and no text that may hold one, is ever given to it.
#pragma once

#include <cstdint>
#include <string>

#include <fmt/core.h>

namespace wgring::daemon {

enum class LogLevel : std::uint8_t { silent, error, info, debug };
enum class LogTarget : std::uint8_t { standard_error, system };

// Sets the process-wide logger; `interface_name` marks each line.
void open_log(LogTarget target, LogLevel level, const std::string& interface_name);

// Any thread. spdlog stays behind this: its header costs each file that includes it seconds.
void write_log(LogLevel level, fmt::string_view format, fmt::format_args arguments);

template <typename... Arguments>
void log_error(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  write_log(LogLevel::error, format, fmt::make_format_args(arguments...));
}
template <typename... Arguments>
void log_info(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  write_log(LogLevel::info, format, fmt::make_format_args(arguments...));
}
template <typename... Arguments>
void log_debug(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  write_log(LogLevel::debug, format, fmt::make_format_args(arguments...));
}

}  // namespace wgring::daemon
