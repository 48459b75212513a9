#include "noise/split.hpp"

#include <algorithm>

#include "base/checksum.hpp"

namespace wgring::noise {
namespace {

constexpr std::uint32_t v4_header_bytes = 20;
constexpr std::uint32_t v6_header_bytes = 40;
constexpr std::uint32_t tcp_header_bytes = 20;
constexpr std::uint32_t udp_header_bytes = 8;
constexpr std::uint16_t tcp_checksum_offset = 16;
constexpr std::uint16_t udp_checksum_offset = 6;
constexpr std::uint8_t protocol_tcp = 6;
constexpr std::uint8_t protocol_udp = 17;

constexpr std::uint32_t tcp_flags_at = 13;
constexpr std::uint8_t tcp_fin = 0x01;
constexpr std::uint8_t tcp_psh = 0x08;
constexpr std::uint8_t tcp_cwr = 0x80;

[[nodiscard]] std::uint8_t version_of(Bytes packet) noexcept {
  return packet.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(packet[0] >> 4U);
}

[[nodiscard]] std::size_t packet_bytes_max(bool v4) noexcept {
  return v4 ? 0xffff : 0xffff + v6_header_bytes;
}

// A packet that was cut on its way to us must not be given the checksums of a whole one.
[[nodiscard]] bool length_is(Bytes packet, bool v4) noexcept {
  return v4 ? load_be16(packet.data() + 2) == packet.size()
            : load_be16(packet.data() + 4) + v6_header_bytes == packet.size();
}

// In UDP zero means "none" (RFC 768); for a sum its other form is as good.
void store_checksum(const InternetSum& sum, std::uint8_t* field) noexcept {
  sum.store(field);
  if (load_be16(field) == 0) {
    store_be16(field, 0xffff);
  }
}

// Of the pseudo header whose sum the kernel left in the checksum field. Not made from the IP
// header: behind a routing header that names the next stop, and the sum is of the last (RFC
// 8200 8.1).
[[nodiscard]] std::uint16_t sum_without_length(Bytes field, std::uint32_t length) noexcept {
  ByteArray<2> sum;
  InternetSum()
      .add(field)
      .add_be16(static_cast<std::uint16_t>(~length))  // in one's complement: less the length
      .store_partial(sum.data());
  return load_be16(sum.data());
}

}  // namespace

std::optional<Splitter> Splitter::open(MutableBytes packet, const VnetHeader& header) noexcept {
  Splitter splitter;
  splitter.packet_ = packet;
  const std::uint8_t version = version_of(packet);
  splitter.v4_ = version == 4;
  if ((version != 4 && version != 6) ||
      packet.size() < (splitter.v4_ ? v4_header_bytes : v6_header_bytes) ||
      packet.size() > packet_bytes_max(splitter.v4_) || !splitter.measure(header)) {
    return std::nullopt;
  }
  splitter.end_ = splitter.count_;
  if (splitter.kind_ != Kind::checksum_only) {
    copy_bytes(splitter.headers_, Bytes{packet}.first(splitter.headers_bytes_));
  }
  return splitter;
}

bool Splitter::measure(const VnetHeader& header) noexcept {
  const auto bytes = static_cast<std::uint32_t>(packet_.size());
  const auto gso_type = static_cast<std::uint8_t>(header.gso_type & ~VnetHeader::gso_ecn);
  const std::uint32_t ip_bytes = v4_ ? std::uint32_t{packet_[0] & 0x0fU} * 4 : v6_header_bytes;
  transport_at_ = header.checksum_start;
  checksum_at_ = transport_at_ + header.checksum_offset;
  const bool in_place = v4_ ? transport_at_ == ip_bytes : transport_at_ >= ip_bytes;
  if ((header.flags & VnetHeader::needs_checksum) == 0 || ip_bytes < v4_header_bytes ||
      transport_at_ < ip_bytes || checksum_at_ + 2 > bytes) {
    return false;
  }
  if (gso_type == VnetHeader::gso_none) {
    kind_ = Kind::checksum_only;
    headers_bytes_ = 0;
    payload_bytes_ = bytes;
    count_ = 1;
    return true;
  }
  const bool tcp = gso_type == (v4_ ? VnetHeader::gso_tcp4 : VnetHeader::gso_tcp6);
  const bool udp = gso_type == VnetHeader::gso_udp_l4;
  const std::uint16_t checksum_offset = tcp ? tcp_checksum_offset : udp_checksum_offset;
  const std::uint8_t protocol = tcp ? protocol_tcp : protocol_udp;
  // Behind IPv6 extension headers the kernel's word for the protocol is as good as ours.
  const bool direct = v4_ || transport_at_ == v6_header_bytes;
  if ((!tcp && !udp) || !in_place || !length_is(packet_, v4_) ||
      header.checksum_offset != checksum_offset || (direct && packet_[v4_ ? 9 : 6] != protocol) ||
      transport_at_ + (tcp ? tcp_header_bytes : udp_header_bytes) > bytes) {
    return false;
  }
  kind_ = tcp ? Kind::tcp : Kind::udp;
  const std::uint32_t transport_bytes =
      tcp ? std::uint32_t{packet_[transport_at_ + 12]} / 16 * 4 : udp_header_bytes;
  headers_bytes_ = transport_at_ + transport_bytes;
  payload_bytes_ = header.segment_bytes;
  if ((tcp && transport_bytes < tcp_header_bytes) || headers_bytes_ > headers_bytes_max ||
      headers_bytes_ >= bytes || payload_bytes_ == 0) {
    return false;
  }
  count_ = (bytes - headers_bytes_ + payload_bytes_ - 1) / payload_bytes_;
  pseudo_sum_ = sum_without_length(packet_.subspan(checksum_at_, 2), bytes - transport_at_);
  return true;
}

MutableBytes Splitter::next() noexcept {
  WG_ASSERT(!done());
  if (kind_ == Kind::checksum_only) {
    // The field holds the pseudo header's sum already.
    store_checksum(InternetSum().add(packet_.subspan(transport_at_)),
                   packet_.data() + checksum_at_);
    next_ += 1;
    return packet_;
  }
  const std::uint32_t offset = next_ * payload_bytes_;
  const MutableBytes segment = packet_.subspan(offset, segment_bytes(next_));
  if (next_ > 0) {  // what the last segment's user may have put behind it is payload of later ones
    const MutableBytes payload = packet_.subspan(offset + headers_bytes_);
    copy_bytes(payload, Bytes{spilled_}.first(std::min(spill_bytes, payload.size())));
  }
  complete(segment);
  return segment;
}

std::uint32_t Splitter::segment_bytes(std::uint32_t index) const noexcept {
  if (kind_ == Kind::checksum_only) {
    return payload_bytes_;
  }
  const auto left =
      static_cast<std::uint32_t>(packet_.size()) - headers_bytes_ - index * payload_bytes_;
  return headers_bytes_ + std::min(left, payload_bytes_);
}

Bytes Splitter::payload(std::uint32_t index) const noexcept {
  return Bytes{packet_}.subspan(headers_bytes_ + index * payload_bytes_,
                                segment_bytes(index) - headers_bytes_);
}

// All but the payload of the next segment, which lies anywhere.
void Splitter::complete(MutableBytes segment) noexcept {
  copy_bytes(segment.first(headers_bytes_), Bytes{headers_}.first(headers_bytes_));
  write_ip(segment);
  write_transport(segment);
  next_ += 1;
  if (!done()) {
    const Bytes behind = packet_.subspan(headers_bytes_ + next_ * payload_bytes_);
    copy_bytes(spilled_, behind.first(std::min(spill_bytes, behind.size())));
  }
}

Splitter Splitter::part(std::uint32_t first, std::uint32_t end) const noexcept {
  WG_ASSERT(next_ == 0 && first < end && end <= count_);
  WG_ASSERT(divisible() || (first == 0 && end == count_));
  Splitter part = *this;
  part.next_ = first;
  part.end_ = end;
  return part;
}

void Splitter::move_payload(std::uint32_t index, std::uint8_t* segment) const noexcept {
  const Bytes from = payload(index);
  copy_bytes({segment + headers_bytes_, from.size()}, from);
}

MutableBytes Splitter::next_moved(std::uint8_t* segment) noexcept {
  WG_ASSERT(!done() && divisible());
  const MutableBytes bytes{segment, segment_bytes(next_)};
  complete(bytes);
  return bytes;
}

void Splitter::write_ip(MutableBytes segment) const noexcept {
  if (!v4_) {
    store_be16(segment.data() + 4, static_cast<std::uint16_t>(segment.size() - v6_header_bytes));
    return;
  }
  store_be16(segment.data() + 2, static_cast<std::uint16_t>(segment.size()));
  const std::uint32_t identification = load_be16(headers_.data() + 4) + next_;
  store_be16(segment.data() + 4, static_cast<std::uint16_t>(identification));
  store_be16(segment.data() + 10, 0);
  InternetSum().add(segment.first(transport_at_)).store(segment.data() + 10);
}

void Splitter::write_transport(MutableBytes segment) const noexcept {
  const MutableBytes transport = segment.subspan(transport_at_);
  const auto length = static_cast<std::uint16_t>(transport.size());
  if (kind_ == Kind::tcp) {
    store_be32(transport.data() + 4,
               load_be32(headers_.data() + transport_at_ + 4) + next_ * payload_bytes_);
    std::uint8_t& flags = transport[tcp_flags_at];
    if (next_ + 1 < count_) {
      flags = static_cast<std::uint8_t>(flags & ~(tcp_fin | tcp_psh));
    }
    if (next_ > 0) {
      flags = static_cast<std::uint8_t>(flags & ~tcp_cwr);
    }
  } else {
    store_be16(transport.data() + 4, length);
  }
  std::uint8_t* const field = segment.data() + checksum_at_;
  store_be16(field, 0);
  InternetSum sum;
  sum.add_be16(pseudo_sum_).add_be16(length).add(transport);
  kind_ == Kind::tcp ? sum.store(field) : store_checksum(sum, field);
}

}  // namespace wgring::noise
