#include "noise/inner.hpp"

#include <array>

#include <gtest/gtest.h>

#include "tests/noise/ip_packet.hpp"

namespace wgring::noise {
namespace {

using test::fix_v4_checksum;
using test::Packet;
using test::v4_packet;
using test::v6_packet;

TEST(ParseOutgoing, TakesBothFamilies) {
  Packet four = v4_packet(8);
  four[1] = 0xb9;
  const auto inner4 = parse_outgoing(four);
  ASSERT_TRUE(inner4.has_value());
  EXPECT_EQ(inner4->family, Family::v4);
  EXPECT_EQ(inner4->destination, four.data() + 16);
  EXPECT_EQ(inner4->traffic_class, 0xb9);

  Packet six = v6_packet(8);
  six[0] = 0x6b;
  six[1] = 0x9f;  // class b9, then flow label
  const auto inner6 = parse_outgoing(six);
  ASSERT_TRUE(inner6.has_value());
  EXPECT_EQ(inner6->family, Family::v6);
  EXPECT_EQ(inner6->destination, six.data() + 24);
  EXPECT_EQ(inner6->traffic_class, 0xb9);
}

TEST(ParseOutgoing, MinimumHeaders) {
  EXPECT_TRUE(parse_outgoing(v4_packet(0)).has_value());
  EXPECT_TRUE(parse_outgoing(v6_packet(0)).has_value());
  const Packet four = v4_packet(0);
  const Packet six = v6_packet(0);
  for (std::size_t size = 0; size < 20; ++size) {
    EXPECT_FALSE(parse_outgoing(Bytes{four}.first(size)).has_value()) << size;
  }
  for (std::size_t size = 0; size < 40; ++size) {
    EXPECT_FALSE(parse_outgoing(Bytes{six}.first(size)).has_value()) << size;
  }
}

TEST(ParseOutgoing, LengthFieldsAreNotItsBusiness) {
  Packet four = v4_packet(0);
  store_be16(four.data() + 2, 0xffff);
  EXPECT_TRUE(parse_outgoing(four).has_value());
}

// H56: every version but 4 and 6.
TEST(Parse, VersionNibble) {
  for (unsigned version = 0; version < 16; ++version) {
    Packet packet(60);
    packet[0] = static_cast<std::uint8_t>(version << 4U | 5U);
    store_be16(packet.data() + 2, 60);
    store_be16(packet.data() + 4, 20);
    const bool known = version == 4 || version == 6;
    EXPECT_EQ(parse_outgoing(packet).has_value(), known) << version;
    EXPECT_EQ(parse_incoming(packet).has_value(), known) << version;
  }
}

TEST(ParseIncoming, CutsPadding) {
  Packet four = v4_packet(3);
  four.resize(four.size() + 9, 0xee);
  const auto inner4 = parse_incoming(four);
  ASSERT_TRUE(inner4.has_value());
  EXPECT_EQ(inner4->family, Family::v4);
  EXPECT_EQ(inner4->source, four.data() + 12);
  EXPECT_EQ(inner4->bytes, 23U);

  Packet six = v6_packet(5);
  six.resize(60'000, 0xee);  // H60
  const auto inner6 = parse_incoming(six);
  ASSERT_TRUE(inner6.has_value());
  EXPECT_EQ(inner6->family, Family::v6);
  EXPECT_EQ(inner6->source, six.data() + 8);
  EXPECT_EQ(inner6->bytes, 45U);
}

// H61 and below the headers.
TEST(ParseIncoming, TooShort) {
  const Packet four = v4_packet(0);
  const Packet six = v6_packet(0);
  for (std::size_t size = 0; size < 20; ++size) {
    EXPECT_FALSE(parse_incoming(Bytes{four}.first(size)).has_value()) << size;
  }
  for (std::size_t size = 0; size < 40; ++size) {
    EXPECT_FALSE(parse_incoming(Bytes{six}.first(size)).has_value()) << size;
  }
}

// H57
TEST(ParseIncoming, TotalLengthV4) {
  struct Row {
    std::uint16_t total;
    bool taken;
  };
  for (const Row& row : std::to_array<Row>({{0, false},
                                            {1, false},
                                            {19, false},
                                            {20, true},
                                            {31, true},
                                            {32, true},
                                            {33, false},
                                            {65535, false}})) {
    Packet packet = v4_packet(12);
    store_be16(packet.data() + 2, row.total);
    const auto inner = parse_incoming(packet);
    ASSERT_EQ(inner.has_value(), row.taken) << row.total;
    if (inner) {
      EXPECT_EQ(inner->bytes, row.total);
    }
  }
}

TEST(ParseIncoming, HeaderLengthNibbleV4) {
  for (unsigned nibble = 0; nibble < 16; ++nibble) {
    Packet packet = v4_packet(28);  // 48 bytes: up to 12 words of header
    packet[0] = static_cast<std::uint8_t>(0x40U | nibble);
    EXPECT_EQ(parse_incoming(packet).has_value(), nibble >= 5 && nibble <= 12) << nibble;
  }
}

// H58: 65535 + 40 does not wrap to 39.
// fault: wireguard-go-ipv6-length
TEST(ParseIncoming, PayloadLengthV6) {
  struct Row {
    std::uint16_t payload;
    bool taken;
  };
  for (const Row& row :
       std::to_array<Row>({{0, true}, {11, true}, {12, true}, {13, false}, {65535, false}})) {
    Packet packet = v6_packet(12);
    store_be16(packet.data() + 4, row.payload);
    const auto inner = parse_incoming(packet);
    ASSERT_EQ(inner.has_value(), row.taken) << row.payload;
    if (inner) {
      EXPECT_EQ(inner->bytes, row.payload + 40U);
    }
  }
  Packet huge = v6_packet(65'535);
  EXPECT_EQ(parse_incoming(huge)->bytes, 65'575U);
}

TEST(Ecn, OuterBitsFromInner) {
  for (unsigned traffic_class = 0; traffic_class < 256; ++traffic_class) {
    constexpr ByteArray<4> outer{ecn_not_ect, ecn_ect1, ecn_ect0, ecn_ect0};
    EXPECT_EQ(ecn_encapsulate(static_cast<std::uint8_t>(traffic_class)), outer[traffic_class % 4]);
  }
}

struct EcnRow {
  std::uint8_t inner;
  std::uint8_t outer;
  std::uint8_t result;
};
constexpr std::array<EcnRow, 16> ecn_table{{
    {ecn_not_ect, ecn_not_ect, ecn_not_ect},
    {ecn_not_ect, ecn_ect0, ecn_not_ect},
    {ecn_not_ect, ecn_ect1, ecn_not_ect},
    {ecn_not_ect, ecn_ce, ecn_not_ect},
    {ecn_ect0, ecn_not_ect, ecn_ect0},
    {ecn_ect0, ecn_ect0, ecn_ect0},
    {ecn_ect0, ecn_ect1, ecn_ect1},
    {ecn_ect0, ecn_ce, ecn_ce},
    {ecn_ect1, ecn_not_ect, ecn_ect1},
    {ecn_ect1, ecn_ect0, ecn_ect1},
    {ecn_ect1, ecn_ect1, ecn_ect1},
    {ecn_ect1, ecn_ce, ecn_ce},
    {ecn_ce, ecn_not_ect, ecn_ce},
    {ecn_ce, ecn_ect0, ecn_ce},
    {ecn_ce, ecn_ect1, ecn_ce},
    {ecn_ce, ecn_ce, ecn_ce},
}};

TEST(Ecn, InnerAfterTheTunnelV4) {
  for (const EcnRow& row : ecn_table) {
    // Every identification, so that the checksum passes through all its values.
    for (std::uint32_t id = 0; id < 0x10000; id += 13) {
      Packet packet = v4_packet(4);
      packet[1] = static_cast<std::uint8_t>(0xb8 | row.inner);
      store_be16(packet.data() + 4, static_cast<std::uint16_t>(id));
      fix_v4_checksum(packet);
      Packet expected = packet;
      expected[1] = static_cast<std::uint8_t>(0xb8 | row.result);
      fix_v4_checksum(expected);
      ecn_decapsulate(packet, row.outer);
      ASSERT_EQ(packet, expected) << int{row.inner} << " in " << int{row.outer} << " id " << id;
    }
  }
}

TEST(Ecn, WrongChecksumStaysWrong) {
  Packet packet = v4_packet(4);
  packet[1] = ecn_ect0;
  fix_v4_checksum(packet);
  packet[10] ^= 0x40;
  ecn_decapsulate(packet, ecn_ce);
  EXPECT_EQ(packet[1], ecn_ce);
  EXPECT_NE(test::ones_sum(Bytes{packet}.first(20)), 0xffff);
}

TEST(Ecn, InnerAfterTheTunnelV6) {
  for (const EcnRow& row : ecn_table) {
    Packet packet = v6_packet(4);
    packet[0] = 0x6b;
    packet[1] = static_cast<std::uint8_t>(0x8f | (row.inner << 4U));
    Packet expected = packet;
    expected[1] = static_cast<std::uint8_t>(0x8f | (row.result << 4U));
    ecn_decapsulate(packet, row.outer);
    ASSERT_EQ(packet, expected) << int{row.inner} << " in " << int{row.outer};
  }
}

TEST(Ecn, NotIpIsLeftAlone) {
  for (const std::size_t size : {0U, 1U, 19U, 39U}) {
    Packet packet(size, 0x62);
    const Packet before = packet;
    ecn_decapsulate(packet, ecn_ce);
    EXPECT_EQ(packet, before);
  }
}

TEST(Padding, Table) {
  struct Row {
    std::size_t inner;
    std::size_t mtu;
    std::size_t padded;
  };
  for (const Row& row : std::to_array<Row>({
           {0, 1420, 0},  // keepalive
           {1, 1420, 16},       {15, 1420, 16},     {16, 1420, 16},
           {17, 1420, 32},      {1405, 1420, 1408}, {1409, 1420, 1420},
           {1419, 1420, 1420},  {1420, 1420, 1420},  // a full packet gets none
           {1421, 1420, 1436},                       // the last unit is one byte
           {2840, 1420, 2840},  {2841, 1420, 2856}, {2839, 1420, 2840},
           {0, 0, 0},           {1, 0, 16},         {1420, 0, 1424},
           {65'535, 0, 65'536}, {5, 1, 5},          {5, 3, 6},
           {20, 68, 32},        {68, 68, 68},
       })) {
    EXPECT_EQ(padded_bytes(row.inner, row.mtu), row.padded) << row.inner << " at " << row.mtu;
  }
}

TEST(Padding, NeverMoreThanFifteenNorLess) {
  for (const std::size_t mtu : {0U, 1U, 2U, 15U, 16U, 17U, 68U, 1280U, 1420U, 65'535U}) {
    for (std::size_t inner = 0; inner < 3'000; ++inner) {
      const std::size_t padded = padded_bytes(inner, mtu);
      ASSERT_GE(padded, inner);
      ASSERT_LT(padded, inner + 16);
    }
  }
}

}  // namespace
}  // namespace wgring::noise
