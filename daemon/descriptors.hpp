// Descriptors that the starter left to the process, or did not.
#pragma once

#include <span>

namespace wgring::daemon {

// Puts /dev/null where standard input, output or error is closed: no descriptor of ours gets one
// of their numbers. Before anything is opened; throws SetupError.
void ensure_standard_streams();

[[nodiscard]] bool is_open(int fd) noexcept;

// Closes every descriptor above standard error but these; numbers below 3 among them have no
// effect. Before any thread exists.
void close_all_but(std::span<const int> kept);

}  // namespace wgring::daemon
