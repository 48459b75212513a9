#include "bench/support/packets.hpp"

namespace wgring::bench {
namespace {

constexpr std::uint8_t tcp_ack = 0x10;
constexpr std::size_t super_packet_bytes_max = 0xffff;

void write_ip(Packet& packet, const Flow& flow, std::uint32_t number) {
  const auto protocol = static_cast<std::uint8_t>(flow.transport == Transport::tcp ? 6 : 17);
  if (flow.ip == Ip::v6) {
    packet[0] = 0x60;
    store_be16(packet.data() + 4, static_cast<std::uint16_t>(packet.size() - 40));
    packet[6] = protocol;
    packet[7] = 64;
    packet[8] = packet[24] = 0xfd;
    packet[23] = 1;
    packet[39] = 2;
    return;
  }
  packet[0] = 0x45;
  store_be16(packet.data() + 2, static_cast<std::uint16_t>(packet.size()));
  store_be16(packet.data() + 4, static_cast<std::uint16_t>(number));
  packet[6] = 0x40;  // do not fragment
  packet[8] = 64;
  packet[9] = protocol;
  store_be32(packet.data() + 12, 0x0a000000);  // 10.0.0.0
  store_be32(packet.data() + 16, 0x0a01ffff);  // 10.1.255.255
  InternetSum().add(Bytes{packet}.first(20)).store(packet.data() + 10);
}

void write_transport(Packet& packet, const Flow& flow, std::uint32_t number) {
  std::uint8_t* const at = packet.data() + flow.transport_at();
  store_be16(at, flow.port);
  store_be16(at + 2, 5201);
  if (flow.transport == Transport::udp) {
    store_be16(at + 4, static_cast<std::uint16_t>(packet.size() - flow.transport_at()));
    return;
  }
  const auto payload = static_cast<std::uint32_t>(packet.size() - flow.headers_bytes());
  store_be32(at + 4, 1'000'000 + number * payload);
  store_be32(at + 8, 2'000'000);
  at[12] = 8 << 4U;  // 32 bytes
  at[13] = tcp_ack;
  store_be16(at + 14, 0x1234);
  const ByteArray<12> timestamps{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2};
  copy_bytes(MutableBytes{at + 20, timestamps.size()}, timestamps);
}

[[nodiscard]] InternetSum pseudo_header(const Packet& packet, const Flow& flow) {
  InternetSum sum;
  sum.add(flow.ip == Ip::v4 ? Bytes{packet}.subspan(12, 8) : Bytes{packet}.subspan(8, 32))
      .add_be16(flow.transport == Transport::tcp ? 6 : 17)
      .add_be16(static_cast<std::uint16_t>(packet.size() - flow.transport_at()));
  return sum;
}

[[nodiscard]] Packet without_checksum(const Flow& flow, std::size_t bytes, std::uint32_t number) {
  Packet packet(bytes);
  for (std::size_t i = flow.headers_bytes(); i < bytes; ++i) {
    packet[i] = static_cast<std::uint8_t>(i * 7 + number);
  }
  write_ip(packet, flow, number);
  write_transport(packet, flow, number);
  return packet;
}

}  // namespace

Packet packet_of(const Flow& flow, std::size_t bytes, std::uint32_t number) {
  Packet packet = without_checksum(flow, bytes, number);
  pseudo_header(packet, flow)
      .add(Bytes{packet}.subspan(flow.transport_at()))
      .store(packet.data() + flow.checksum_at());
  return packet;
}

SuperPacket super_packet_of(const Flow& flow, std::size_t packet_bytes) {
  const std::size_t payload = packet_bytes - flow.headers_bytes();
  const std::size_t segments = (super_packet_bytes_max - flow.headers_bytes()) / payload;
  SuperPacket super{.bytes = without_checksum(flow, flow.headers_bytes() + segments * payload, 0),
                    .header = {},
                    .segments = segments};
  pseudo_header(super.bytes, flow).store_partial(super.bytes.data() + flow.checksum_at());
  using noise::VnetHeader;
  const std::uint8_t tcp = flow.ip == Ip::v4 ? VnetHeader::gso_tcp4 : VnetHeader::gso_tcp6;
  super.header = {
      .flags = VnetHeader::needs_checksum,
      .gso_type = flow.transport == Transport::tcp ? tcp : VnetHeader::gso_udp_l4,
      .header_bytes = static_cast<std::uint16_t>(flow.headers_bytes()),
      .segment_bytes = static_cast<std::uint16_t>(payload),
      .checksum_start = static_cast<std::uint16_t>(flow.transport_at()),
      .checksum_offset = static_cast<std::uint16_t>(flow.checksum_at() - flow.transport_at())};
  return super;
}

}  // namespace wgring::bench
