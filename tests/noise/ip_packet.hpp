// Inner packets for tests, with a plain checksum as the judge of ours.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.hpp"

namespace wgring::test {

using Packet = std::vector<std::uint8_t>;

// Folded one's complement sum: 0xffff over data that holds its own right checksum.
[[nodiscard]] inline std::uint16_t ones_sum(Bytes bytes, std::uint32_t start = 0) {
  std::uint32_t sum = start;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8U : bytes[i];
  }
  while (sum > 0xffff) {
    sum = (sum & 0xffffU) + (sum >> 16U);
  }
  return static_cast<std::uint16_t>(sum);
}

inline void fix_v4_checksum(Packet& packet) {
  store_be16(packet.data() + 10, 0);
  store_be16(packet.data() + 10, static_cast<std::uint16_t>(~ones_sum(Bytes{packet}.first(20))));
}

// 10.0.0.1 -> 10.0.0.2, `protocol`, a valid header.
[[nodiscard]] inline Packet v4_packet(std::size_t payload_bytes, std::uint8_t protocol = 17) {
  Packet packet(20 + payload_bytes);
  packet[0] = 0x45;
  store_be16(packet.data() + 2, static_cast<std::uint16_t>(packet.size()));
  packet[8] = 64;
  packet[9] = protocol;
  store_be32(packet.data() + 12, 0x0a000001);
  store_be32(packet.data() + 16, 0x0a000002);
  for (std::size_t i = 20; i < packet.size(); ++i) {
    packet[i] = static_cast<std::uint8_t>(i * 7);
  }
  fix_v4_checksum(packet);
  return packet;
}

// 2001:db8::1 -> 2001:db8::2.
[[nodiscard]] inline Packet v6_packet(std::size_t payload_bytes, std::uint8_t next_header = 17) {
  Packet packet(40 + payload_bytes);
  packet[0] = 0x60;
  store_be16(packet.data() + 4, static_cast<std::uint16_t>(payload_bytes));
  packet[6] = next_header;
  packet[7] = 64;
  store_be32(packet.data() + 8, 0x20010db8);
  packet[23] = 1;
  store_be32(packet.data() + 24, 0x20010db8);
  packet[39] = 2;
  for (std::size_t i = 40; i < packet.size(); ++i) {
    packet[i] = static_cast<std::uint8_t>(i * 7);
  }
  return packet;
}

}  // namespace wgring::test
