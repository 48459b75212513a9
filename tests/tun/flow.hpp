// Flows of TCP and UDP packets for tests of joining and splitting.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/noise/ip_packet.hpp"

namespace wgring::test {

// Right checksums for what the packet says it is, after a test changed something else in it. Only
// for a whole IP header without IPv4 options; TCP and UDP directly behind it, or nothing to do.
inline void fix_checksums(Packet& packet) {
  const bool v4 = packet[0] >> 4U == 4;
  if (v4) {
    fix_v4_checksum(packet);
  }
  const std::size_t at = v4 ? 20 : 40;
  const std::uint8_t protocol = packet[v4 ? 9 : 6];
  const std::size_t field = at + (protocol == 6 ? 16 : 6);
  if ((protocol != 6 && protocol != 17) || packet.size() < field + 2) {
    return;
  }
  const Bytes all{packet};
  const Bytes addresses = v4 ? all.subspan(12, 8) : all.subspan(8, 32);
  const std::uint32_t pseudo =
      ones_sum(addresses) + static_cast<std::uint32_t>(packet.size() - at) + protocol;
  store_be16(packet.data() + field, 0);
  const auto sum = static_cast<std::uint16_t>(~ones_sum(all.subspan(at), pseudo));
  store_be16(packet.data() + field, protocol == 17 && sum == 0 ? 0xffff : sum);
}

// One flow that makes packets in sequence, as a sender's TSO would.
class Flow {
 public:
  Flow(bool v4, bool tcp, std::uint16_t port) : v4_(v4), tcp_(tcp), port_(port) {}

  [[nodiscard]] Packet next(std::size_t payload_bytes, bool push = false) {
    const std::size_t header = tcp_ ? 32 : 8;
    const std::uint8_t protocol = tcp_ ? 6 : 17;
    Packet packet = v4_ ? v4_packet(header + payload_bytes, protocol)
                        : v6_packet(header + payload_bytes, protocol);
    at_ = v4_ ? 20 : 40;
    std::uint8_t* const transport = packet.data() + at_;
    fill_zero({transport, header});
    store_be16(transport, port_);
    store_be16(transport + 2, 5001);
    if (tcp_) {
      store_be32(transport + 4, sequence_);
      store_be32(transport + 8, 77);
      transport[12] = 0x80;
      transport[13] = push ? 0x18 : 0x10;
      store_be16(transport + 14, 1000);
      transport[20] = transport[21] = 1;
      store_be32(transport + 24, 4242);
    } else {
      store_be16(transport + 4, static_cast<std::uint16_t>(header + payload_bytes));
    }
    for (std::size_t i = 0; i < payload_bytes; ++i) {
      transport[header + i] = static_cast<std::uint8_t>(sequence_ + i);
    }
    sequence_ += static_cast<std::uint32_t>(payload_bytes);
    if (v4_) {
      store_be16(packet.data() + 4, identification_++);
    }
    fix_checksums(packet);
    return packet;
  }
  [[nodiscard]] std::size_t transport_at() const { return at_; }

 private:
  bool v4_;
  bool tcp_;
  std::uint16_t port_;
  std::size_t at_ = 0;
  std::uint32_t sequence_ = 0xffff'f000U;
  std::uint16_t identification_ = 0xfff0;
};

}  // namespace wgring::test
