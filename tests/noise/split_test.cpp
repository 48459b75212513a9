#include "noise/split.hpp"

#include <random>

#include <gtest/gtest.h>

#include "noise/batch.hpp"
#include "tests/noise/ip_packet.hpp"

namespace wgring::noise {
namespace {

using test::ones_sum;
using test::Packet;

enum class Transport : std::uint8_t { tcp = 6, udp = 17 };

struct Shape {
  bool v4 = true;
  Transport transport = Transport::tcp;
  std::size_t option_bytes = 0;  // TCP options, or IPv4 options for UDP
  std::size_t payload_bytes = 0;
  std::uint16_t segment_bytes = 0;
};

struct Super {
  Packet packet;
  VnetHeader header;
  std::size_t transport_at = 0;
  std::size_t headers = 0;
};

[[nodiscard]] std::uint32_t pseudo_sum(Bytes packet, std::size_t transport_at, bool v4) {
  const Bytes addresses = v4 ? packet.subspan(12, 8) : packet.subspan(8, 32);
  return ones_sum(addresses) + static_cast<std::uint32_t>(packet.size() - transport_at) +
         packet[v4 ? 9 : 6];
}

// As the kernel leaves it: the sum of the pseudo header of the whole.
void store_pseudo_sum(Super& super, std::uint32_t sum) {
  std::uint8_t* const field =
      super.packet.data() + super.transport_at + super.header.checksum_offset;
  store_be16(field, ones_sum({}, sum));
}

// A super-packet as the kernel gives it: one header with the totals, the payload numbered.
[[nodiscard]] Super make(const Shape& shape) {
  const bool tcp = shape.transport == Transport::tcp;
  const std::size_t ip_options = shape.v4 && !tcp ? shape.option_bytes : 0;
  const std::size_t transport_bytes = tcp ? 20 + shape.option_bytes : 8;
  const auto protocol = static_cast<std::uint8_t>(shape.transport);
  Super super;
  super.transport_at = shape.v4 ? 20 + ip_options : 40;
  super.headers = super.transport_at + transport_bytes;
  const std::size_t behind_ip = ip_options + transport_bytes + shape.payload_bytes;
  super.packet =
      shape.v4 ? test::v4_packet(behind_ip, protocol) : test::v6_packet(behind_ip, protocol);
  Packet& packet = super.packet;
  if (shape.v4) {
    packet[0] = static_cast<std::uint8_t>(0x40U + super.transport_at / 4);
    store_be16(packet.data() + 4, 0xfffe);  // identification wraps
    std::fill_n(packet.begin() + 20, ip_options, std::uint8_t{1});
  }
  std::uint8_t* const transport = packet.data() + super.transport_at;
  if (tcp) {
    store_be32(transport + 4, 0xffff'fff0U);  // sequence wraps
    transport[12] = static_cast<std::uint8_t>(transport_bytes / 4 * 16);
    transport[13] = 0x99;  // CWR, ACK, PSH, FIN
  }
  for (std::size_t i = 0; i < shape.payload_bytes; ++i) {
    packet[super.headers + i] = static_cast<std::uint8_t>(i * 31 + i / 251);
  }
  const std::uint8_t kind = !tcp       ? VnetHeader::gso_udp_l4
                            : shape.v4 ? VnetHeader::gso_tcp4
                                       : VnetHeader::gso_tcp6;
  super.header = {.flags = VnetHeader::needs_checksum,
                  .gso_type = kind,
                  .header_bytes = 0,
                  .segment_bytes = shape.segment_bytes,
                  .checksum_start = static_cast<std::uint16_t>(super.transport_at),
                  .checksum_offset = static_cast<std::uint16_t>(tcp ? 16 : 6)};
  store_pseudo_sum(super, pseudo_sum(packet, super.transport_at, shape.v4));
  return super;
}

// Judges one segment by itself: lengths, checksums, numbers, and its piece of the payload.
void judge(const Super& whole, const Shape& shape, std::size_t index, std::size_t count,
           Bytes segment) {
  const std::size_t offset = index * shape.segment_bytes;
  const std::size_t payload =
      std::min<std::size_t>(shape.segment_bytes, shape.payload_bytes - offset);
  ASSERT_EQ(segment.size(), whole.headers + payload);
  EXPECT_TRUE(equal_public(segment.subspan(whole.headers),
                           Bytes{whole.packet}.subspan(whole.headers + offset, payload)));
  if (shape.v4) {
    EXPECT_EQ(load_be16(segment.data() + 2), segment.size());
    EXPECT_EQ(load_be16(segment.data() + 4), static_cast<std::uint16_t>(0xfffe + index));
    EXPECT_EQ(ones_sum(segment.first(whole.transport_at)), 0xffff);
  } else {
    EXPECT_EQ(load_be16(segment.data() + 4), segment.size() - 40);
  }
  const Bytes transport = segment.subspan(whole.transport_at);
  EXPECT_EQ(ones_sum(transport, pseudo_sum(segment, whole.transport_at, shape.v4)), 0xffff);
  if (shape.transport == Transport::udp) {
    EXPECT_EQ(load_be16(transport.data() + 4), transport.size());
    return;
  }
  EXPECT_EQ(load_be32(transport.data() + 4), 0xffff'fff0U + static_cast<std::uint32_t>(offset));
  const unsigned flags = 0x10U | (index == 0 ? 0x80U : 0U) | (index + 1 == count ? 0x09U : 0U);
  EXPECT_EQ(transport[13], flags);
}

void check_shape(const Shape& shape) {
  const Super whole = make(shape);
  Packet work = whole.packet;
  auto splitter = Splitter::open(work, whole.header);
  ASSERT_TRUE(splitter.has_value());
  const std::size_t count = (shape.payload_bytes + shape.segment_bytes - 1) / shape.segment_bytes;
  ASSERT_EQ(splitter->count(), count);
  for (std::size_t i = 0; i < count; ++i) {
    const MutableBytes segment = splitter->next();
    judge(whole, shape, i, count, segment);
    // As padding does: what lies behind the segment is the user's for a while.
    const auto behind = static_cast<std::size_t>(segment.data() - work.data()) + segment.size();
    std::fill_n(work.begin() + static_cast<std::ptrdiff_t>(behind),
                std::min<std::size_t>(15, work.size() - behind), std::uint8_t{0});
  }
  EXPECT_TRUE(splitter->done());
}

TEST(Split, tcp_and_udp_of_both_families_with_and_without_options) {
  for (const bool v4 : {true, false}) {
    for (const Transport transport : {Transport::tcp, Transport::udp}) {
      for (const std::size_t options : {0U, 12U, 40U}) {
        check_shape({v4, transport, options, 20'000, 1360});
      }
    }
  }
}

TEST(Split, random_sizes_down_to_segments_smaller_than_the_headers) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 300; ++i) {
    const std::size_t payload = 1 + random() % 60'000;
    const auto segment = static_cast<std::uint16_t>(1 + random() % (i % 3 == 0 ? 40 : 9000));
    check_shape({random() % 2 == 0, random() % 2 == 0 ? Transport::tcp : Transport::udp,
                 random() % 11 * 4, i % 3 == 0 ? 1 + payload % 600 : payload, segment});
  }
}

// The packet cut by one splitter, each segment taken away at once.
[[nodiscard]] std::vector<Packet> cut_whole(Super super) {
  std::vector<Packet> segments;
  auto splitter = Splitter::open(super.packet, super.header);
  while (!splitter->done()) {
    const Bytes segment = splitter->next();
    segments.emplace_back(segment.begin(), segment.end());
  }
  return segments;
}

// Cut in parts of `each`, the last part first; as much as padding may take is spoilt behind every
// segment.
[[nodiscard]] std::vector<Packet> cut_in_parts(Super super, std::uint32_t each) {
  const std::size_t bytes = super.packet.size();
  super.packet.resize(bytes + plain_tailroom_bytes);
  const auto whole = Splitter::open(MutableBytes{super.packet}.first(bytes), super.header);
  std::vector<Packet> segments(whole->count());
  const auto take = [&](std::size_t index, MutableBytes segment) {
    segments[index].assign(segment.begin(), segment.end());
    std::fill_n(segment.data() + segment.size(), padding_multiple - 1, std::uint8_t{0xee});
  };
  std::vector<std::pair<Splitter, Packet>> parts;
  for (std::uint32_t first = 0; first < whole->count(); first += each) {
    parts.emplace_back(whole->part(first, std::min(first + each, whole->count())), Packet(70'000));
    if (first > 0) {
      whole->move_payload(first, parts.back().second.data());
    }
  }
  for (std::size_t at = parts.size(); at-- > 0;) {
    auto& [part, elsewhere] = parts[at];
    std::size_t index = at * each;
    if (part.is_later_part()) {
      take(index++, part.next_moved(elsewhere.data()));
    }
    for (; !part.done(); ++index) {
      take(index, part.next());
    }
  }
  return segments;
}

TEST(Split, parts_give_the_same_segments_in_any_order) {
  std::mt19937_64 random(12);
  int divided = 0;
  for (int i = 0; i < 400; ++i) {
    const bool v4 = random() % 2 == 0;
    const Transport transport = random() % 2 == 0 ? Transport::tcp : Transport::udp;
    const std::size_t payload = 1 + random() % 60'000;
    const auto segment = static_cast<std::uint16_t>(20 + random() % (i % 2 == 0 ? 150 : 3000));
    const Super super = make({v4, transport, random() % 11 * 4, payload, segment});
    Packet measured = super.packet;
    const bool divisible = Splitter::open(measured, super.header)->divisible();
    EXPECT_EQ(divisible, segment >= super.headers + padding_multiple);
    if (divisible) {
      const auto each = static_cast<std::uint32_t>(1 + random() % 9);
      ASSERT_EQ(cut_in_parts(super, each), cut_whole(super)) << i;
      divided += 1;
    }
  }
  EXPECT_GT(divided, 200);
}

TEST(Split, a_packet_that_only_lacks_its_checksum_is_completed_in_place) {
  Super super = make({.payload_bytes = 101, .segment_bytes = 1000});
  super.header.gso_type = VnetHeader::gso_none;
  const std::size_t at = super.transport_at + 16;
  store_be16(super.packet.data() + at, 0);
  const std::uint32_t pseudo = pseudo_sum(super.packet, super.transport_at, true);
  store_be16(super.packet.data() + at, static_cast<std::uint16_t>(pseudo % 0xffff));
  auto splitter = Splitter::open(super.packet, super.header);
  ASSERT_TRUE(splitter.has_value());
  const Bytes segment = splitter->next();
  EXPECT_EQ(segment.size(), super.packet.size());
  EXPECT_EQ(ones_sum(segment.subspan(super.transport_at), pseudo), 0xffff);
  EXPECT_TRUE(splitter->done());
}

TEST(Split, a_v6_packet_may_be_longer_by_its_header) {
  check_shape(
      {.v4 = false, .transport = Transport::udp, .payload_bytes = 65'500, .segment_bytes = 1100});
}

TEST(Split, what_somebody_has_checked_already_asks_for_nothing) {
  EXPECT_TRUE((VnetHeader{.flags = 2}).plain());
  EXPECT_FALSE((VnetHeader{.flags = 3}).plain());
  Super super = make({.payload_bytes = 3000, .segment_bytes = 1000});
  super.header.flags = 3;
  EXPECT_TRUE(Splitter::open(super.packet, super.header).has_value());
}

TEST(Split, the_mark_of_ecn_changes_nothing) {
  Super super = make({.payload_bytes = 3000, .segment_bytes = 1000});
  super.header.gso_type |= VnetHeader::gso_ecn;
  const auto splitter = Splitter::open(super.packet, super.header);
  ASSERT_TRUE(splitter.has_value());
  EXPECT_EQ(splitter->count(), 3U);
}

// UDP behind `extension` bytes of IPv6 extension headers, the last of which sends it on to
// `last_stop`: the pseudo header is that one's, the IPv6 header names the next stop.
constexpr ByteArray<16> last_stop{0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff};

[[nodiscard]] std::uint32_t pseudo_sum_to_last_stop(Bytes packet, std::size_t transport_at) {
  return ones_sum(packet.subspan(8, 16)) + ones_sum(last_stop) + 17U +
         static_cast<std::uint32_t>(packet.size() - transport_at);
}

[[nodiscard]] Super behind_extensions(std::size_t extension, std::size_t payload) {
  Super super{.packet = test::v6_packet(extension + 8 + payload, 60),
              .header = {.flags = VnetHeader::needs_checksum,
                         .gso_type = VnetHeader::gso_udp_l4,
                         .segment_bytes = 100,
                         .checksum_start = static_cast<std::uint16_t>(40 + extension),
                         .checksum_offset = 6},
              .transport_at = 40 + extension,
              .headers = 48 + extension};
  store_pseudo_sum(super, pseudo_sum_to_last_stop(super.packet, super.transport_at));
  return super;
}

TEST(Split, extension_headers_of_v6_stand_in_front_of_every_segment) {
  const Super whole = behind_extensions(24, 250);
  Packet work = whole.packet;
  auto splitter = Splitter::open(work, whole.header);
  ASSERT_TRUE(splitter.has_value());
  ASSERT_EQ(splitter->count(), 3U);
  for (const std::uint32_t payload : {100U, 100U, 50U}) {
    const Bytes segment = splitter->next();
    ASSERT_EQ(segment.size(), whole.headers + payload);
    EXPECT_EQ(load_be16(segment.data() + 4), segment.size() - 40);
    EXPECT_TRUE(equal_public(segment.subspan(40, 24), Bytes{whole.packet}.subspan(40, 24)));
    EXPECT_EQ(ones_sum(segment.subspan(whole.transport_at),
                       pseudo_sum_to_last_stop(segment, whole.transport_at)),
              0xffff);
  }
}

TEST(Split, headers_are_bounded) {
  constexpr std::size_t most = Splitter::headers_bytes_max - 48;
  Super fits = behind_extensions(most, 250);
  EXPECT_TRUE(Splitter::open(fits.packet, fits.header).has_value());
  Super longer = behind_extensions(most + 8, 250);
  EXPECT_FALSE(Splitter::open(longer.packet, longer.header).has_value());
}

TEST(Split, a_udp_checksum_is_never_zero) {
  Super super = make({.transport = Transport::udp, .payload_bytes = 2, .segment_bytes = 1000});
  super.header.gso_type = VnetHeader::gso_none;
  const std::size_t at = super.transport_at + 6;
  store_be16(super.packet.data() + at, 0);
  // The partial sum that makes the whole 0xffff, of which the complement is zero.
  const std::uint16_t rest = ones_sum(Bytes{super.packet}.subspan(super.transport_at));
  store_be16(super.packet.data() + at, static_cast<std::uint16_t>(0xffff - rest));
  auto splitter = Splitter::open(super.packet, super.header);
  ASSERT_TRUE(splitter.has_value());
  EXPECT_EQ(load_be16(splitter->next().data() + at), 0xffff);
}

TEST(Split, what_does_not_fit_together_is_refused) {
  struct Row {
    const char* what;
    void (*spoil)(Super&);
  };
  const Row rows[] = {
      {"no segment size", [](Super& s) { s.header.segment_bytes = 0; }},
      {"unknown kind", [](Super& s) { s.header.gso_type = 3; }},
      {"kind of the other family", [](Super& s) { s.header.gso_type = VnetHeader::gso_tcp6; }},
      {"no checksum wanted", [](Super& s) { s.header.flags = 0; }},
      {"checksum start before the transport", [](Super& s) { s.header.checksum_start = 19; }},
      {"checksum start behind the packet", [](Super& s) { s.header.checksum_start = 60'000; }},
      {"checksum of another protocol", [](Super& s) { s.header.checksum_offset = 6; }},
      {"another protocol", [](Super& s) { s.packet[9] = 17; }},
      {"header length below 5 words", [](Super& s) { s.packet[0] = 0x44; }},
      {"IP version", [](Super& s) { s.packet[0] = 0x55; }},
      {"TCP header below 5 words", [](Super& s) { s.packet[32] = 0x40; }},
      {"TCP header longer than the packet", [](Super& s) { s.packet.resize(39); }},
      {"cut on its way", [](Super& s) { s.packet.resize(s.packet.size() - 1); }},
      {"no payload",
       [](Super& s) {
         s.packet.resize(s.headers);
         store_be16(s.packet.data() + 2, 40);
       }},
      {"a gap in front of the transport",
       [](Super& s) {
         s.header.checksum_start = 24;
         s.packet[24 + 12] = 0x50;
       }},
      {"checksum half behind the packet",
       [](Super& s) {
         s.header.gso_type = VnetHeader::gso_none;
         s.header.checksum_offset = static_cast<std::uint16_t>(s.packet.size() - 1 - 20);
       }},
      {"longer than IPv4 can say",
       [](Super& s) {
         s.header.gso_type = VnetHeader::gso_none;
         s.packet.resize(0x10000);
       }},
      {"nothing", [](Super& s) { s.packet.clear(); }},
  };
  for (const Row& row : rows) {
    Super super = make({.payload_bytes = 3000, .segment_bytes = 1000});
    row.spoil(super);
    EXPECT_FALSE(Splitter::open(super.packet, super.header).has_value()) << row.what;
  }
}

}  // namespace
}  // namespace wgring::noise
