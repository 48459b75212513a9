// virtio_net_hdr: what the kernel says about a packet on a TUN with IFF_VNET_HDR, 10 bytes in the
// machine's order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.hpp"

namespace wgring::noise {

struct VnetHeader {
  static constexpr std::size_t size = 10;
  static constexpr std::uint8_t needs_checksum = 1;  // flags: csum_start and csum_offset are valid
  static constexpr std::uint8_t gso_none = 0;
  static constexpr std::uint8_t gso_tcp4 = 1;
  static constexpr std::uint8_t gso_tcp6 = 4;
  static constexpr std::uint8_t gso_udp_l4 = 5;
  static constexpr std::uint8_t gso_ecn = 0x80;  // flag on the TCP kinds: CWR is set

  std::uint8_t flags = 0;
  std::uint8_t gso_type = gso_none;
  std::uint16_t header_bytes = 0;    // a hint; never trusted
  std::uint16_t segment_bytes = 0;   // payload of each segment but the last
  std::uint16_t checksum_start = 0;  // of the transport header
  std::uint16_t checksum_offset = 0;

  // Nothing is left to do. Other flags (DATA_VALID: somebody has checked it) ask for nothing.
  [[nodiscard]] bool plain() const noexcept {
    return (flags & needs_checksum) == 0 && gso_type == gso_none;
  }

  [[nodiscard]] static VnetHeader load(const std::uint8_t* from) noexcept {
    return {.flags = from[0],
            .gso_type = from[1],
            .header_bytes = detail::load<std::uint16_t>(from + 2),
            .segment_bytes = detail::load<std::uint16_t>(from + 4),
            .checksum_start = detail::load<std::uint16_t>(from + 6),
            .checksum_offset = detail::load<std::uint16_t>(from + 8)};
  }
  void store(std::uint8_t* to) const noexcept {
    to[0] = flags;
    to[1] = gso_type;
    detail::store(to + 2, header_bytes);
    detail::store(to + 4, segment_bytes);
    detail::store(to + 6, checksum_start);
    detail::store(to + 8, checksum_offset);
  }
  friend bool operator==(const VnetHeader&, const VnetHeader&) = default;
};

}  // namespace wgring::noise
