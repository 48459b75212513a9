#include "noise/inner.hpp"

#include <algorithm>

#include "noise/constants.hpp"

namespace wgring::noise {
namespace {

constexpr std::size_t v4_total_length_at = 2;
constexpr std::size_t v4_checksum_at = 10;
constexpr std::size_t v4_source_at = 12;
constexpr std::size_t v4_destination_at = 16;
constexpr std::size_t v6_payload_length_at = 4;
constexpr std::size_t v6_source_at = 8;
constexpr std::size_t v6_destination_at = 24;

// The family by the version nibble, if the fixed header of that family fits.
[[nodiscard]] Family family_of(Bytes packet) noexcept {
  if (packet.size() >= ipv4_header_bytes && packet[0] >> 4U == 4) {
    return Family::v4;
  }
  if (packet.size() >= ipv6_header_bytes && packet[0] >> 4U == 6) {
    return Family::v6;
  }
  return Family::none;
}

[[nodiscard]] std::uint8_t traffic_class_of(Bytes packet, Family family) noexcept {
  // IPv6: the eight bits behind the version nibble.
  return family == Family::v4 ? packet[1]
                              : static_cast<std::uint8_t>(load_be16(packet.data()) >> 4U);
}

[[nodiscard]] std::size_t align_up(std::size_t bytes) noexcept {
  return (bytes + padding_multiple - 1) / padding_multiple * padding_multiple;
}

// Inner bits after the tunnel (RFC 6040 figure 4, but nothing is dropped).
[[nodiscard]] std::uint8_t ecn_combined(std::uint8_t inner, std::uint8_t outer) noexcept {
  const bool capable = inner == ecn_ect0 || inner == ecn_ect1;
  if (outer == ecn_ce && capable) {
    return ecn_ce;
  }
  return outer == ecn_ect1 && inner == ecn_ect0 ? ecn_ect1 : inner;
}

// RFC 1624 equation 3: HC' = ~(~HC + ~m + m'), for the first header word.
void set_ecn_v4(MutableBytes packet, std::uint8_t ecn) noexcept {
  const std::uint32_t before = load_be16(packet.data());
  packet[1] = static_cast<std::uint8_t>((packet[1] & ~ecn_mask) | ecn);
  const std::uint32_t after = load_be16(packet.data());
  const std::uint32_t checksum = load_be16(packet.data() + v4_checksum_at);
  std::uint32_t sum = (~checksum & 0xffffU) + (~before & 0xffffU) + after;
  sum = (sum & 0xffffU) + (sum >> 16U);
  sum = (sum & 0xffffU) + (sum >> 16U);
  store_be16(packet.data() + v4_checksum_at, static_cast<std::uint16_t>(~sum));
}

void set_ecn_v6(MutableBytes packet, std::uint8_t ecn) noexcept {
  constexpr unsigned shift = 4;
  packet[1] = static_cast<std::uint8_t>((packet[1] & ~(ecn_mask << shift)) | (ecn << shift));
}

}  // namespace

std::optional<OutgoingInner> parse_outgoing(Bytes packet) noexcept {
  const Family family = family_of(packet);
  if (family == Family::none) {
    return std::nullopt;
  }
  const std::size_t at = family == Family::v4 ? v4_destination_at : v6_destination_at;
  return OutgoingInner{.family = family,
                       .destination = packet.data() + at,
                       .traffic_class = traffic_class_of(packet, family)};
}

std::optional<IncomingInner> parse_incoming(Bytes plaintext) noexcept {
  const Family family = family_of(plaintext);
  if (family == Family::none) {
    return std::nullopt;
  }
  if (family == Family::v6) {
    const std::size_t bytes =
        std::size_t{load_be16(plaintext.data() + v6_payload_length_at)} + ipv6_header_bytes;
    if (bytes > plaintext.size()) {
      return std::nullopt;
    }
    return IncomingInner{.family = family,
                         .source = plaintext.data() + v6_source_at,
                         .bytes = static_cast<std::uint32_t>(bytes)};
  }
  const std::size_t bytes = load_be16(plaintext.data() + v4_total_length_at);
  // Any host would throw away a header that is short or longer than its packet. Refused here,
  // so that code behind this may trust the nibble.
  const std::size_t header_bytes = std::size_t{plaintext[0] & 0x0fU} * 4;
  if (header_bytes < ipv4_header_bytes || bytes < header_bytes || bytes > plaintext.size()) {
    return std::nullopt;
  }
  return IncomingInner{.family = family,
                       .source = plaintext.data() + v4_source_at,
                       .bytes = static_cast<std::uint32_t>(bytes)};
}

std::uint8_t ecn_encapsulate(std::uint8_t inner_traffic_class) noexcept {
  const std::uint8_t inner = inner_traffic_class & ecn_mask;
  return inner == ecn_ce ? ecn_ect0 : inner;
}

void ecn_decapsulate(MutableBytes inner_packet, std::uint8_t outer_ecn) noexcept {
  const Family family = family_of(inner_packet);
  if (family == Family::none) {
    return;
  }
  const std::uint8_t inner = traffic_class_of(inner_packet, family) & ecn_mask;
  const std::uint8_t combined = ecn_combined(inner, outer_ecn & ecn_mask);
  if (combined == inner) {
    return;
  }
  if (family == Family::v4) {
    set_ecn_v4(inner_packet, combined);
  } else {
    set_ecn_v6(inner_packet, combined);
  }
}

std::size_t padded_bytes(std::size_t inner_bytes, std::size_t mtu_bytes) noexcept {
  if (mtu_bytes == 0) {
    return align_up(inner_bytes);
  }
  // Beyond the MTU only the last unit of it is padded.
  const std::size_t last_unit = inner_bytes > mtu_bytes ? inner_bytes % mtu_bytes : inner_bytes;
  return inner_bytes - last_unit + std::min(mtu_bytes, align_up(last_unit));
}

}  // namespace wgring::noise
