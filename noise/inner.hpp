// The inner IP header, as far as a tunnel looks at it: family, addresses, length, ECN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "noise/endpoint.hpp"

namespace wgring::noise {

inline constexpr std::size_t ipv4_header_bytes = 20;
inline constexpr std::size_t ipv6_header_bytes = 40;

// Two bits of the traffic class (RFC 3168).
inline constexpr std::uint8_t ecn_mask = 0x03;
inline constexpr std::uint8_t ecn_not_ect = 0x00;
inline constexpr std::uint8_t ecn_ect1 = 0x01;
inline constexpr std::uint8_t ecn_ect0 = 0x02;
inline constexpr std::uint8_t ecn_ce = 0x03;

// `destination`: 4 or 16 bytes inside the packet, a loan.
struct OutgoingInner {
  Family family = Family::none;
  const std::uint8_t* destination = nullptr;
  std::uint8_t traffic_class = 0;
};
// From TUN: version and room for the fixed header, nothing else (protocol section 11).
[[nodiscard]] std::optional<OutgoingInner> parse_outgoing(Bytes packet) noexcept;

// `source`: 4 or 16 bytes inside the plaintext, a loan. `bytes`: the packet without padding.
struct IncomingInner {
  Family family = Family::none;
  const std::uint8_t* source = nullptr;
  std::uint32_t bytes = 0;
};
// From the tunnel: version, header, length within the plaintext (protocol section 12.8, 12.10).
[[nodiscard]] std::optional<IncomingInner> parse_incoming(Bytes plaintext) noexcept;

// The outer ECN bits for an inner packet: its own, but congestion met inside is not repeated
// outside (protocol section 15).
[[nodiscard]] std::uint8_t ecn_encapsulate(std::uint8_t inner_traffic_class) noexcept;
// Carries congestion met outside into a packet that parse_incoming() took (RFC 6040); a packet
// without ECN stays as it is and is delivered.
void ecn_decapsulate(MutableBytes inner_packet, std::uint8_t outer_ecn) noexcept;

// Plaintext size of an inner packet after padding (protocol section 15).
[[nodiscard]] std::size_t padded_bytes(std::size_t inner_bytes, std::size_t mtu_bytes) noexcept;

}  // namespace wgring::noise
