// "Unreachable" to the inner sender (protocol section 16): a packet for TUN, made from the one
// that could not be sent.
#pragma once

#include <cstddef>

#include "base/bytes.hpp"

namespace wgring::noise {

inline constexpr std::size_t unreachable_bytes_max = 1280;  // IPv6 minimum MTU (RFC 4443 2.4c)

// Writes ICMP host unreachable or ICMPv6 address unreachable into `out`, which has
// unreachable_bytes_max, and returns its size. 0: none may be sent (RFC 1122 3.2.2, RFC 4443
// 2.4e): the packet is itself an ICMP error or could be one, a later fragment, or its addresses
// do not name single hosts.
// The sender is the packet's destination: it lies behind the TUN by route, so the reverse path
// filter lets it in, and NAT on this host translates it back with the flow it belongs to.
[[nodiscard]] std::size_t build_unreachable(MutableBytes out, Bytes offending) noexcept;

}  // namespace wgring::noise
