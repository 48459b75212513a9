#include "noise/icmp.hpp"

#include <algorithm>

#include "noise/inner.hpp"

namespace wgring::noise {
namespace {

constexpr std::size_t icmp_header_bytes = 8;
constexpr std::size_t v4_reply_bytes_max = 576;  // RFC 1812 4.3.2.3

constexpr std::uint8_t protocol_icmp = 1;
constexpr std::uint8_t protocol_icmpv6 = 58;
constexpr std::uint8_t icmp_destination_unreachable = 3;
constexpr std::uint8_t icmp_host_unreachable = 1;
constexpr std::uint8_t icmp_redirect = 5;
constexpr std::uint8_t icmp_type_known_max = 18;
constexpr std::uint8_t icmpv6_destination_unreachable = 1;
constexpr std::uint8_t icmpv6_address_unreachable = 3;
constexpr std::uint8_t icmpv6_informational = 0x80;
constexpr std::uint8_t icmpv6_redirect = 137;

constexpr std::uint8_t internetwork_control = 0xc0;  // TOS of ICMP errors (RFC 1812 4.3.2.5)
constexpr std::uint8_t hop_limit = 64;

// One's complement sum of 16-bit words, an odd last byte padded by zero; not folded.
[[nodiscard]] std::uint32_t sum_words(Bytes bytes, std::uint32_t sum) noexcept {
  std::size_t i = 0;
  for (; i + 1 < bytes.size(); i += 2) {
    sum += load_be16(bytes.data() + i);
  }
  return i < bytes.size() ? sum + (std::uint32_t{bytes[i]} << 8U) : sum;
}

[[nodiscard]] std::uint16_t checksum_of(std::uint32_t sum) noexcept {
  sum = (sum & 0xffffU) + (sum >> 16U);
  sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<std::uint16_t>(~sum);
}

// 240/4 counts as single hosts, as Linux has it; only the limited broadcast is none. A directed
// broadcast cannot be told from a host without the routes.
[[nodiscard]] bool is_single_host_v4(const std::uint8_t* address) noexcept {
  const bool this_network = address[0] == 0;
  const bool loopback = address[0] == 127;
  const bool multicast = address[0] >> 4U == 14;
  return !this_network && !loopback && !multicast && load_be32(address) != 0xffff'ffffU;
}

[[nodiscard]] bool is_single_host_v6(const std::uint8_t* address) noexcept {
  const bool multicast = address[0] == 0xff;
  const bool unspecified_or_loopback = load_be64(address) == 0 && load_be64(address + 8) <= 1;
  return !multicast && !unspecified_or_loopback;
}

// Types nobody knows may be errors.
[[nodiscard]] bool is_icmp_error(std::uint8_t type) noexcept {
  switch (type) {
    case icmp_destination_unreachable:
    case 4:  // source quench
    case icmp_redirect:
    case 11:  // time exceeded
    case 12:  // parameter problem
      return true;
    default:
      return type > icmp_type_known_max;
  }
}

[[nodiscard]] bool may_answer_v4(Bytes packet) noexcept {
  const std::size_t header_bytes = std::size_t{packet[0] & 0x0fU} * 4;
  if (header_bytes < ipv4_header_bytes || header_bytes > packet.size()) {
    return false;
  }
  if ((load_be16(packet.data() + 6) & 0x1fffU) != 0) {  // a later fragment
    return false;
  }
  if (!is_single_host_v4(packet.data() + 12) || !is_single_host_v4(packet.data() + 16)) {
    return false;
  }
  if (packet[9] != protocol_icmp) {
    return true;
  }
  return header_bytes < packet.size() && !is_icmp_error(packet[header_bytes]);
}

// One step of the IPv6 header chain: `next` is the kind of the header at `offset`.
struct ChainPosition {
  std::uint8_t next;
  std::size_t offset;
};
enum class Chain : std::uint8_t { extension, upper_layer, unanswerable };

// Moves over one extension header (RFC 8200 section 4, RFC 4302 for AH).
[[nodiscard]] Chain step(Bytes packet, ChainPosition& at) noexcept {
  constexpr std::size_t unit_bytes = 8;
  const bool is_fragment = at.next == 44;
  const bool is_authentication = at.next == 51;
  switch (at.next) {
    case 0:    // hop-by-hop options
    case 43:   // routing
    case 44:   // fragment
    case 51:   // authentication
    case 60:   // destination options
    case 135:  // mobility
    case 139:  // host identity
    case 140:  // shim6
      break;
    default:
      return Chain::upper_layer;
  }
  if (packet.size() < unit_bytes || at.offset > packet.size() - unit_bytes) {
    return Chain::unanswerable;
  }
  const std::uint8_t* const header = packet.data() + at.offset;
  if (is_fragment && (load_be16(header + 2) & 0xfff8U) != 0) {
    return Chain::unanswerable;
  }
  at.next = header[0];
  at.offset += is_fragment         ? unit_bytes
               : is_authentication ? (std::size_t{header[1]} + 2) * 4
                                   : (std::size_t{header[1]} + 1) * unit_bytes;
  return Chain::extension;
}

[[nodiscard]] bool may_answer_v6(Bytes packet) noexcept {
  if (!is_single_host_v6(packet.data() + 8) || !is_single_host_v6(packet.data() + 24)) {
    return false;
  }
  ChainPosition at{.next = packet[6], .offset = ipv6_header_bytes};
  Chain kind = Chain::extension;
  // Ends: every step moves at least 8 bytes towards the end of the packet.
  while (kind == Chain::extension) {
    kind = step(packet, at);
  }
  if (kind == Chain::unanswerable) {
    return false;
  }
  if (at.next != protocol_icmpv6) {
    return true;
  }
  return at.offset < packet.size() && (packet[at.offset] & icmpv6_informational) != 0 &&
         packet[at.offset] != icmpv6_redirect;
}

// type | code | checksum 2 | unused 4 | as much of the packet as fits
[[nodiscard]] MutableBytes write_icmp(MutableBytes out, std::uint8_t type, std::uint8_t code,
                                      Bytes quoted) noexcept {
  fill_zero(out.first(icmp_header_bytes));
  out[0] = type;
  out[1] = code;
  copy_bytes(out.subspan(icmp_header_bytes), quoted);
  return out.first(icmp_header_bytes + quoted.size());
}

[[nodiscard]] std::size_t build_v4(MutableBytes out, Bytes offending) noexcept {
  const Bytes quoted = offending.first(
      std::min(offending.size(), v4_reply_bytes_max - ipv4_header_bytes - icmp_header_bytes));
  const MutableBytes icmp = write_icmp(out.subspan(ipv4_header_bytes), icmp_destination_unreachable,
                                       icmp_host_unreachable, quoted);
  store_be16(icmp.data() + 2, checksum_of(sum_words(icmp, 0)));

  const std::size_t bytes = ipv4_header_bytes + icmp.size();
  const MutableBytes header = out.first(ipv4_header_bytes);
  fill_zero(header);
  header[0] = 0x45;
  header[1] = internetwork_control;
  store_be16(header.data() + 2, static_cast<std::uint16_t>(bytes));
  store_be16(header.data() + 6, 0x4000);  // never fragmented, hence no identification
  header[8] = hop_limit;
  header[9] = protocol_icmp;
  copy_bytes(header.subspan(12, 4), offending.subspan(16, 4));
  copy_bytes(header.subspan(16, 4), offending.subspan(12, 4));
  store_be16(header.data() + 10, checksum_of(sum_words(header, 0)));
  return bytes;
}

[[nodiscard]] std::size_t build_v6(MutableBytes out, Bytes offending) noexcept {
  const Bytes quoted = offending.first(
      std::min(offending.size(), unreachable_bytes_max - ipv6_header_bytes - icmp_header_bytes));
  const MutableBytes icmp =
      write_icmp(out.subspan(ipv6_header_bytes), icmpv6_destination_unreachable,
                 icmpv6_address_unreachable, quoted);

  const MutableBytes header = out.first(ipv6_header_bytes);
  fill_zero(header);
  header[0] = 0x60;
  store_be16(header.data() + 4, static_cast<std::uint16_t>(icmp.size()));
  header[6] = protocol_icmpv6;
  header[7] = hop_limit;
  copy_bytes(header.subspan(8, 16), offending.subspan(24, 16));
  copy_bytes(header.subspan(24, 16), offending.subspan(8, 16));
  // The pseudo header: both addresses, length, protocol (RFC 8200 section 8.1).
  const auto pseudo = static_cast<std::uint32_t>(icmp.size() + protocol_icmpv6);
  store_be16(icmp.data() + 2,
             checksum_of(sum_words(icmp, sum_words(header.subspan(8, 32), pseudo))));
  return ipv6_header_bytes + icmp.size();
}

}  // namespace

std::size_t build_unreachable(MutableBytes out, Bytes offending) noexcept {
  WG_ASSERT(out.size() >= unreachable_bytes_max);
  const auto inner = parse_outgoing(offending);
  if (!inner) {
    return 0;
  }
  if (inner->family == Family::v4) {
    return may_answer_v4(offending) ? build_v4(out, offending) : 0;
  }
  return may_answer_v6(offending) ? build_v6(out, offending) : 0;
}

}  // namespace wgring::noise
