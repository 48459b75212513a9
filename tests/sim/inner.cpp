#include "tests/sim/inner.hpp"

#include <algorithm>

namespace wgring::sim {
namespace {

constexpr std::uint8_t experimental_protocol = 253;  // RFC 3692: no stack gives it a meaning

std::uint16_t header_sum(Bytes header) noexcept {
  std::uint32_t sum = 0;
  for (std::size_t at = 0; at + 1 < header.size(); at += 2) {
    sum += load_be16(header.data() + at);
  }
  while (sum > 0xffff) {
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(sum);
}

// The number: 16 bits in the identification, 8 in the time to live.
void write_v4(const InnerSpec& spec, MutableBytes out) noexcept {
  out[0] = 0x45;
  out[1] = spec.traffic_class;
  store_be16(out.data() + 2, static_cast<std::uint16_t>(spec.bytes));
  store_be16(out.data() + 4, static_cast<std::uint16_t>(spec.number));
  out[8] = static_cast<std::uint8_t>(spec.number >> 16);
  out[9] = experimental_protocol;
  copy_bytes(out.subspan(12), tunnel_address(spec.family, spec.from).significant());
  copy_bytes(out.subspan(16), tunnel_address(spec.family, spec.to).significant());
  store_be16(out.data() + 10, static_cast<std::uint16_t>(~header_sum(out.first(20))));
}

// The number: 16 bits in the flow label, 8 in the hop limit.
void write_v6(const InnerSpec& spec, MutableBytes out) noexcept {
  store_be32(out.data(), (std::uint32_t{6} << 28) | (std::uint32_t{spec.traffic_class} << 20) |
                             (spec.number & 0xffff));
  store_be16(out.data() + 4, static_cast<std::uint16_t>(spec.bytes - 40));
  out[6] = experimental_protocol;
  out[7] = static_cast<std::uint8_t>(spec.number >> 16);
  copy_bytes(out.subspan(8), tunnel_address(spec.family, spec.from).significant());
  copy_bytes(out.subspan(24), tunnel_address(spec.family, spec.to).significant());
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
  WG_ASSERT(spec.bytes >= inner_bytes_min(spec.family) && spec.number < inner_numbers_max);
  std::vector<std::uint8_t> packet(spec.bytes);
  const std::size_t header = inner_bytes_min(spec.family);
  for (std::size_t at = header; at < packet.size(); ++at) {
    packet[at] = plain_marker[(at - header) % plain_marker.size()];
  }
  if (spec.family == noise::Family::v4) {
    write_v4(spec, packet);
  } else {
    write_v6(spec, packet);
  }
  return packet;
}

std::optional<std::uint32_t> inner_number(Bytes packet) noexcept {
  if (packet.size() >= 20 && packet[0] == 0x45 && packet[9] == experimental_protocol) {
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

bool v4_checksum_right(Bytes packet) noexcept { return header_sum(packet.first(20)) == 0xffff; }

bool holds_marker(Bytes bytes) noexcept {
  return std::search(bytes.begin(), bytes.end(), plain_marker.begin(), plain_marker.end()) !=
         bytes.end();
}

}  // namespace wgring::sim
