// Values of the text configuration protocol: text to value, pure and strict (protocol 23).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "noise/config.hpp"

namespace wgring::daemon {

// The index of an interface by name, 0 when there is none. Injected: the parser asks no kernel.
using ScopeResolver = std::uint32_t (*)(std::string_view interface_name) noexcept;

// Decimal digits only, no sign, no white space.
[[nodiscard]] std::optional<std::uint16_t> parse_u16(std::string_view text) noexcept;
[[nodiscard]] std::optional<std::uint32_t> parse_u32(std::string_view text) noexcept;

// a.b.c.d:port, [v6]:port or [v6%scope]:port, the scope a number or an interface name. No DNS.
// A v4-mapped v6 address becomes the v4 address it means: the v6 socket could not reach it.
[[nodiscard]] std::optional<noise::SocketAddress> parse_endpoint(std::string_view text,
                                                                 ScopeResolver resolver) noexcept;

// address/cidr adds, -address/cidr removes. Host bits stay as given, the core masks them.
[[nodiscard]] std::optional<noise::AllowedIpChange> parse_allowed_ip(
    std::string_view text) noexcept;

}  // namespace wgring::daemon
