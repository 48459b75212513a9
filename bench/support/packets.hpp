// Inner packets for benchmarks: right in every field, because the splitter and the joiner look.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.hpp"
#include "base/checksum.hpp"
#include "noise/vnet_header.hpp"

namespace wgring::bench {

using Packet = std::vector<std::uint8_t>;

enum class Ip : std::uint8_t { v4, v6 };
enum class Transport : std::uint8_t { tcp, udp };

// One direction of a flow. TCP carries timestamps, as Linux does: 32 bytes of header.
struct Flow {
  Ip ip = Ip::v4;
  Transport transport = Transport::udp;
  std::uint16_t port = 5201;

  [[nodiscard]] std::size_t transport_at() const noexcept { return ip == Ip::v4 ? 20 : 40; }
  [[nodiscard]] std::size_t headers_bytes() const noexcept {
    return transport_at() + (transport == Transport::tcp ? 32 : 8);
  }
  [[nodiscard]] std::size_t checksum_at() const noexcept {
    return transport_at() + (transport == Transport::tcp ? 16 : 6);
  }
};

// Packet `number` of the flow (from zero), of `bytes` in all; all of them have one size.
[[nodiscard]] Packet packet_of(const Flow& flow, std::size_t bytes, std::uint32_t number = 0);

// As many segments of `packet_bytes` as fit 64 KiB, as the kernel hands them over: the transport
// checksum is the pseudo header's sum only.
struct SuperPacket {
  Packet bytes;
  noise::VnetHeader header;
  std::size_t segments = 0;
};
[[nodiscard]] SuperPacket super_packet_of(const Flow& flow, std::size_t packet_bytes);

}  // namespace wgring::bench
