// Inner packets that can be recognised: each carries its number, and a mark that must never be
// seen outside a tunnel.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.hpp"
#include "noise/config.hpp"
#include "noise/endpoint.hpp"
#include "noise/vnet_header.hpp"

namespace wgring::sim {

// The marker is repeated through the payload of every inner packet.
inline constexpr ByteArray<8> plain_marker{0xd1, 'P', 'L', 'A', 'I', 'N', 0xe7, 0x5c};
inline constexpr std::uint32_t inner_numbers_max = std::uint32_t{1} << 24;

// Everything that decides the bytes. `from` and `to` are numbers of tunnel addresses.
struct InnerSpec {
  std::uint32_t number = 0;
  noise::Family family = noise::Family::v4;
  std::uint16_t from = 0;
  std::uint16_t to = 0;
  std::uint32_t bytes = 64;
  std::uint8_t traffic_class = 0;
  bool udp = false;  // a form that a super-packet can stand for: see make_super()
};

[[nodiscard]] constexpr std::uint32_t inner_bytes_min(noise::Family family) noexcept {
  return family == noise::Family::v4 ? 20 : 40;
}
inline constexpr std::uint32_t udp_overhead_bytes = 8 + 4;  // its header, the number
// 10.9.x.y and fd09::x:y of tunnel address number n.
[[nodiscard]] noise::IpAddress tunnel_address(noise::Family family, std::uint16_t number) noexcept;
[[nodiscard]] noise::Prefix tunnel_prefix(noise::Family family, std::uint16_t number) noexcept;

// A whole valid packet of spec.bytes.
[[nodiscard]] std::vector<std::uint8_t> make_inner(const InnerSpec& spec);
// What a TUN with offloads reads in place of the packets `first`, `first` with the next number and
// so on: all of first.bytes but the last, which may be shorter. first.udp is set.
struct SuperPacket {
  std::vector<std::uint8_t> bytes;
  noise::VnetHeader offload;
};
[[nodiscard]] SuperPacket make_super(const InnerSpec& first, std::uint32_t count,
                                     std::uint32_t last_bytes);
// The number written into a packet of make_inner(); nullopt: not one of them.
[[nodiscard]] std::optional<std::uint32_t> inner_number(Bytes packet) noexcept;
[[nodiscard]] std::uint8_t traffic_class_of(Bytes packet) noexcept;
// The one's complement sum over a whole IPv4 header is right.
[[nodiscard]] bool v4_checksum_right(Bytes packet) noexcept;
[[nodiscard]] bool holds_marker(Bytes bytes) noexcept;

}  // namespace wgring::sim
