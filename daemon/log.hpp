// Where log lines go. No key, and no text that may hold one, is ever given to it.
#pragma once

#include <cstdint>
#include <string>

namespace wgring::daemon {

enum class LogLevel : std::uint8_t { silent, error, info, debug };
enum class LogTarget : std::uint8_t { standard_error, system };

// Sets the process-wide logger; `interface_name` marks each line.
void open_log(LogTarget target, LogLevel level, const std::string& interface_name);

}  // namespace wgring::daemon
