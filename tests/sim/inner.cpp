#include "tests/sim/inner.hpp"

#include <algorithm>

namespace wgring::sim {
namespace {

constexpr std::uint8_t experimental_protocol = 253;  // RFC 3692: no stack gives it a meaning
constexpr std::uint8_t udp_protocol = 17;
constexpr std::uint8_t hops = 64;
constexpr std::uint16_t udp_port = 9253;

// Of any even number of bytes, or with a last one that stands for itself and a zero.
std::uint16_t ones_sum(Bytes bytes, std::uint32_t start = 0) noexcept {
  std::uint32_t sum = start;
  for (std::size_t at = 0; at < bytes.size(); at += 2) {
    sum += at + 1 < bytes.size() ? load_be16(bytes.data() + at) : std::uint32_t{bytes[at]} << 8;
  }
  while (sum > 0xffff) {
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(sum);
}

// The number: 16 bits in the identification, 8 in the time to live. With UDP it is in the payload,
// and the identification counts along with it.
void write_v4(const InnerSpec& spec, MutableBytes out) noexcept {
  out[0] = 0x45;
  out[1] = spec.traffic_class;
  store_be16(out.data() + 2, static_cast<std::uint16_t>(spec.bytes));
  store_be16(out.data() + 4, static_cast<std::uint16_t>(spec.number));
  out[8] = spec.udp ? hops : static_cast<std::uint8_t>(spec.number >> 16);
  out[9] = spec.udp ? udp_protocol : experimental_protocol;
  copy_bytes(out.subspan(12), tunnel_address(spec.family, spec.from).significant());
  copy_bytes(out.subspan(16), tunnel_address(spec.family, spec.to).significant());
  store_be16(out.data() + 10, static_cast<std::uint16_t>(~ones_sum(out.first(20))));
}

// The number: 16 bits in the flow label, 8 in the hop limit; with UDP in the payload.
void write_v6(const InnerSpec& spec, MutableBytes out) noexcept {
  store_be32(out.data(), (std::uint32_t{6} << 28) | (std::uint32_t{spec.traffic_class} << 20) |
                             (spec.udp ? 0 : spec.number & 0xffff));
  store_be16(out.data() + 4, static_cast<std::uint16_t>(spec.bytes - 40));
  out[6] = spec.udp ? udp_protocol : experimental_protocol;
  out[7] = spec.udp ? hops : static_cast<std::uint8_t>(spec.number >> 16);
  copy_bytes(out.subspan(8), tunnel_address(spec.family, spec.from).significant());
  copy_bytes(out.subspan(24), tunnel_address(spec.family, spec.to).significant());
}

[[nodiscard]] Bytes addresses_of(Bytes packet) noexcept {
  return packet[0] >> 4 == 4 ? packet.subspan(12, 8) : packet.subspan(8, 32);
}

// Without the checksum, which is left zero.
void write_udp(std::uint32_t number, MutableBytes out) noexcept {
  store_be16(out.data(), udp_port);
  store_be16(out.data() + 2, udp_port);
  store_be16(out.data() + 4, static_cast<std::uint16_t>(out.size()));
  store_be16(out.data() + 6, 0);
  store_be32(out.data() + 8, number);
}

[[nodiscard]] std::uint16_t udp_pseudo_sum(Bytes packet, std::size_t udp_bytes) noexcept {
  return ones_sum(addresses_of(packet), static_cast<std::uint32_t>(udp_bytes) + udp_protocol);
}

void write_udp_checksum(MutableBytes packet, std::size_t header) noexcept {
  const Bytes udp = packet.subspan(header);
  const auto sum = static_cast<std::uint16_t>(~ones_sum(udp, udp_pseudo_sum(packet, udp.size())));
  store_be16(packet.data() + header + 6, sum == 0 ? 0xffff : sum);
}

}  // namespace

noise::IpAddress tunnel_address(noise::Family family, std::uint16_t number) noexcept {
  noise::IpAddress address{.family = family, .bytes = {}};
  if (family == noise::Family::v4) {
    address.bytes[0] = 10;
    address.bytes[1] = 9;
    store_be16(address.bytes.data() + 2, number);
  } else {
    address.bytes[0] = 0xfd;
    address.bytes[1] = 9;
    store_be16(address.bytes.data() + 14, number);
  }
  return address;
}

noise::Prefix tunnel_prefix(noise::Family family, std::uint16_t number) noexcept {
  return {.address = tunnel_address(family, number),
          .cidr = static_cast<std::uint8_t>(family == noise::Family::v4 ? 32 : 128)};
}

std::vector<std::uint8_t> make_inner(const InnerSpec& spec) {
  const std::size_t header = inner_bytes_min(spec.family);
  const std::size_t least = header + (spec.udp ? udp_overhead_bytes : 0);
  WG_ASSERT(spec.bytes >= least && spec.number < inner_numbers_max);
  std::vector<std::uint8_t> packet(spec.bytes);
  for (std::size_t at = least; at < packet.size(); ++at) {
    packet[at] = plain_marker[(at - least) % plain_marker.size()];
  }
  if (spec.family == noise::Family::v4) {
    write_v4(spec, packet);
  } else {
    write_v6(spec, packet);
  }
  if (spec.udp) {
    write_udp(spec.number, MutableBytes{packet}.subspan(header));
    write_udp_checksum(packet, header);
  }
  return packet;
}

SuperPacket make_super(const InnerSpec& first, std::uint32_t count, std::uint32_t last_bytes) {
  const std::uint32_t header = inner_bytes_min(first.family);
  WG_ASSERT(first.udp && count > 1 && last_bytes <= first.bytes);
  InnerSpec spec = first;
  SuperPacket super{.bytes = make_inner(spec), .offload = {}};
  for (std::uint32_t i = 1; i < count; ++i) {
    spec.number += 1;
    spec.bytes = i + 1 == count ? last_bytes : first.bytes;
    const std::vector<std::uint8_t> packet = make_inner(spec);
    super.bytes.insert(super.bytes.end(), packet.begin() + header + 8, packet.end());
  }
  spec = first;
  spec.bytes = static_cast<std::uint32_t>(super.bytes.size());
  const MutableBytes all{super.bytes};
  first.family == noise::Family::v4 ? write_v4(spec, all) : write_v6(spec, all);
  write_udp(first.number, all.subspan(header));
  store_be16(all.data() + header + 6, udp_pseudo_sum(all, all.size() - header));
  super.offload = {.flags = noise::VnetHeader::needs_checksum,
                   .gso_type = noise::VnetHeader::gso_udp_l4,
                   .header_bytes = static_cast<std::uint16_t>(header + 8),
                   .segment_bytes = static_cast<std::uint16_t>(first.bytes - header - 8),
                   .checksum_start = static_cast<std::uint16_t>(header),
                   .checksum_offset = 6};
  return super;
}

std::optional<std::uint32_t> inner_number(Bytes packet) noexcept {
  const bool v4 = packet.size() >= 20 && packet[0] == 0x45;
  const std::size_t header = v4 ? 20 : 40;
  if (packet.size() >= header + udp_overhead_bytes && packet[v4 ? 9 : 6] == udp_protocol &&
      load_be32(packet.data() + header) == (std::uint32_t{udp_port} << 16 | udp_port)) {
    return load_be32(packet.data() + header + 8);
  }
  if (v4 && packet[9] == experimental_protocol) {
    return load_be16(packet.data() + 4) | std::uint32_t{packet[8]} << 16;
  }
  if (packet.size() >= 40 && packet[0] >> 4 == 6 && packet[6] == experimental_protocol) {
    return (load_be32(packet.data()) & 0xffff) | std::uint32_t{packet[7]} << 16;
  }
  return std::nullopt;
}

std::uint8_t traffic_class_of(Bytes packet) noexcept {
  if (packet[0] >> 4 == 4) {
    return packet[1];
  }
  return static_cast<std::uint8_t>(load_be32(packet.data()) >> 20);
}

bool v4_checksum_right(Bytes packet) noexcept { return ones_sum(packet.first(20)) == 0xffff; }

bool holds_marker(Bytes bytes) noexcept {
  return std::search(bytes.begin(), bytes.end(), plain_marker.begin(), plain_marker.end()) !=
         bytes.end();
}

}  // namespace wgring::sim
