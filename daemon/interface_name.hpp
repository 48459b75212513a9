#pragma once

#include <string_view>

namespace wgring::daemon {

// What is wrong with it as the name of a network interface and of a socket file; empty: nothing.
[[nodiscard]] std::string_view interface_name_fault(std::string_view name) noexcept;

}  // namespace wgring::daemon
