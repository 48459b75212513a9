#include "noise/icmp.hpp"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/noise/ip_packet.hpp"

namespace wgring::noise {
namespace {

using test::Packet;
using test::v4_packet;
using test::v6_packet;

Packet reply_to(const Packet& offending) {
  Packet out(unreachable_bytes_max + 64, 0xcc);
  const std::size_t bytes =
      build_unreachable(MutableBytes{out}.first(unreachable_bytes_max), offending);
  EXPECT_LE(bytes, unreachable_bytes_max);
  for (std::size_t i = unreachable_bytes_max; i < out.size(); ++i) {
    EXPECT_EQ(out[i], 0xcc) << "wrote beyond";
  }
  out.resize(bytes);
  return out;
}

void expect_v4_reply(const Packet& offending, std::size_t quoted_bytes) {
  const Packet reply = reply_to(offending);
  ASSERT_EQ(reply.size(), 28 + quoted_bytes);
  const Bytes bytes{reply};
  EXPECT_EQ(reply[0], 0x45);
  EXPECT_EQ(load_be16(reply.data() + 2), reply.size());
  EXPECT_EQ(reply[9], 1);
  EXPECT_EQ(reply[8], 64);
  EXPECT_TRUE(equal_public(bytes.subspan(12, 4), Bytes{offending}.subspan(16, 4)));
  EXPECT_TRUE(equal_public(bytes.subspan(16, 4), Bytes{offending}.subspan(12, 4)));
  EXPECT_EQ(test::ones_sum(bytes.first(20)), 0xffff);
  EXPECT_EQ(test::ones_sum(bytes.subspan(20)), 0xffff);
  EXPECT_EQ(reply[20], 3);
  EXPECT_EQ(reply[21], 1);
  EXPECT_EQ(load_be32(reply.data() + 24), 0U);
  EXPECT_TRUE(equal_public(bytes.subspan(28), Bytes{offending}.first(quoted_bytes)));
}

void expect_v6_reply(const Packet& offending, std::size_t quoted_bytes) {
  const Packet reply = reply_to(offending);
  ASSERT_EQ(reply.size(), 48 + quoted_bytes);
  const Bytes bytes{reply};
  EXPECT_EQ(reply[0], 0x60);
  EXPECT_EQ(load_be16(reply.data() + 4), reply.size() - 40);
  EXPECT_EQ(reply[6], 58);
  EXPECT_EQ(reply[7], 64);
  EXPECT_TRUE(equal_public(bytes.subspan(8, 16), Bytes{offending}.subspan(24, 16)));
  EXPECT_TRUE(equal_public(bytes.subspan(24, 16), Bytes{offending}.subspan(8, 16)));
  Packet pseudo(reply.begin() + 8, reply.end());
  const auto length = static_cast<std::uint32_t>(reply.size() - 40);
  EXPECT_EQ(test::ones_sum(pseudo, length + 58), 0xffff);
  EXPECT_EQ(reply[40], 1);
  EXPECT_EQ(reply[41], 3);
  EXPECT_EQ(load_be32(reply.data() + 44), 0U);
  EXPECT_TRUE(equal_public(bytes.subspan(48), Bytes{offending}.first(quoted_bytes)));
}

TEST(Unreachable, QuotesWhatFits) {
  for (const std::size_t payload : {0U, 1U, 7U, 8U, 527U, 528U}) {
    expect_v4_reply(v4_packet(payload), 20 + payload);
  }
  for (const std::size_t payload : {529U, 1'400U, 60'000U}) {
    expect_v4_reply(v4_packet(payload), 548);
  }
  for (const std::size_t payload : {0U, 1U, 7U, 8U, 1'191U, 1'192U}) {
    expect_v6_reply(v6_packet(payload), 40 + payload);
  }
  for (const std::size_t payload : {1'193U, 1'400U, 60'000U}) {
    expect_v6_reply(v6_packet(payload), 1'232);
  }
}

struct Case {
  std::string name;
  std::function<void(Packet&)> change;
  bool answered;
};

void run(const std::vector<Case>& cases, const Packet& base) {
  for (const Case& entry : cases) {
    Packet packet = base;
    entry.change(packet);
    EXPECT_EQ(!reply_to(packet).empty(), entry.answered) << entry.name;
  }
}

std::function<void(Packet&)> address_v4(std::size_t offset, std::uint32_t address) {
  return [=](Packet& packet) { store_be32(packet.data() + offset, address); };
}

TEST(Unreachable, AddressesV4) {
  for (const std::size_t offset : {12U, 16U}) {
    run({{"private", address_v4(offset, 0xc0a80001), true},
         {"link-local", address_v4(offset, 0xa9fe0001), true},
         {"class E", address_v4(offset, 0xf0000001), true},
         {"below multicast", address_v4(offset, 0xdfffffff), true},
         {"unspecified", address_v4(offset, 0), false},
         {"this network", address_v4(offset, 0x00000001), false},
         {"loopback", address_v4(offset, 0x7f000001), false},
         {"all systems", address_v4(offset, 0xe0000001), false},
         {"last multicast", address_v4(offset, 0xefffffff), false},
         {"broadcast", address_v4(offset, 0xffffffff), false}},
        v4_packet(8));
  }
}

TEST(Unreachable, FragmentsV4) {
  const auto fragment = [](std::uint16_t field) {
    return [=](Packet& packet) { store_be16(packet.data() + 6, field); };
  };
  run({{"DF", fragment(0x4000), true},
       {"first", fragment(0x2000), true},
       {"second", fragment(0x2001), false},
       {"last", fragment(0x00b9), false},
       {"far", fragment(0x1000), false},
       {"farthest", fragment(0x1fff), false}},
      v4_packet(8));
}

TEST(Unreachable, IcmpTypesV4) {
  for (unsigned type = 0; type < 256; ++type) {
    Packet packet = v4_packet(8, 1);
    packet[20] = static_cast<std::uint8_t>(type);
    const bool error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12 || type > 18;
    EXPECT_EQ(reply_to(packet).empty(), error) << type;
  }
  EXPECT_TRUE(reply_to(v4_packet(0, 1)).empty()) << "no type to see";
  // Behind options the type is further on.
  Packet options = v4_packet(12, 1);
  options[0] = 0x46;
  options[20] = 8;
  options[24] = 3;
  EXPECT_TRUE(reply_to(options).empty());
  options[20] = 3;
  options[24] = 8;
  EXPECT_FALSE(reply_to(options).empty());
}

TEST(Unreachable, HeaderLengthV4) {
  for (unsigned nibble = 0; nibble < 16; ++nibble) {
    Packet packet = v4_packet(8);  // seven words
    packet[0] = static_cast<std::uint8_t>(0x40U | nibble);
    EXPECT_EQ(reply_to(packet).empty(), nibble < 5 || nibble > 7) << nibble;
  }
}

TEST(Unreachable, NotIpIsNotAnswered) {
  EXPECT_TRUE(reply_to({}).empty());
  EXPECT_TRUE(reply_to(Packet(19, 0x45)).empty());
  EXPECT_TRUE(reply_to(Packet(39, 0x60)).empty());
  EXPECT_TRUE(reply_to(Packet(60, 0x50)).empty());
}

std::function<void(Packet&)> address_v6(std::size_t offset, std::uint64_t high, std::uint64_t low) {
  return [=](Packet& packet) {
    store_be64(packet.data() + offset, high);
    store_be64(packet.data() + offset + 8, low);
  };
}

TEST(Unreachable, AddressesV6) {
  for (const std::size_t offset : {8U, 24U}) {
    run({{"unique local", address_v6(offset, 0xfd00'0000'0000'0000, 1), true},
         {"link-local", address_v6(offset, 0xfe80'0000'0000'0000, 1), true},
         {"low but not loopback", address_v6(offset, 0, 2), true},
         {"unspecified", address_v6(offset, 0, 0), false},
         {"loopback", address_v6(offset, 0, 1), false},
         {"all nodes", address_v6(offset, 0xff02'0000'0000'0000, 1), false},
         {"solicited node", address_v6(offset, 0xff02'0000'0000'0000, 0x1'ff00'0001), false}},
        v6_packet(8));
  }
}

TEST(Unreachable, IcmpTypesV6) {
  for (unsigned type = 0; type < 256; ++type) {
    Packet packet = v6_packet(8, 58);
    packet[40] = static_cast<std::uint8_t>(type);
    EXPECT_EQ(reply_to(packet).empty(), type < 128 || type == 137) << type;
  }
  EXPECT_TRUE(reply_to(v6_packet(0, 58)).empty()) << "no type to see";
}

// A chain of extension headers in front of an ICMPv6 error, an echo, and UDP.
TEST(Unreachable, ExtensionHeadersV6) {
  for (const unsigned header : {0U, 43U, 60U, 135U, 139U, 140U, 51U}) {
    for (const unsigned units : {0U, 2U}) {
      const std::size_t bytes = header == 51 ? (units + 2) * 4 : (units + 1) * 8;
      if (header == 51 && units == 0) {
        continue;  // shorter than the fixed part of AH
      }
      Packet packet = v6_packet(bytes + 8, static_cast<std::uint8_t>(header));
      packet[40] = 58;
      packet[41] = static_cast<std::uint8_t>(units);
      packet[40 + bytes] = 1;
      EXPECT_TRUE(reply_to(packet).empty()) << header << " error";
      packet[40 + bytes] = 128;
      EXPECT_FALSE(reply_to(packet).empty()) << header << " echo";
      packet[40] = 17;
      packet[40 + bytes] = 1;
      EXPECT_FALSE(reply_to(packet).empty()) << header << " udp";
    }
  }
}

TEST(Unreachable, FragmentsV6) {
  const auto fragment = [](std::uint16_t field, std::uint8_t next, std::uint8_t type) {
    return [=](Packet& packet) {
      packet[40] = next;
      packet[41] = 0xff;  // reserved, not a length
      store_be16(packet.data() + 42, field);
      packet[48] = type;
    };
  };
  run({{"first", fragment(0x0001, 17, 0), true},
       {"first of an echo", fragment(0x0001, 58, 128), true},
       {"first of an error", fragment(0x0001, 58, 1), false},
       {"second", fragment(0x0008, 17, 0), false},
       {"last", fragment(0xfff8, 17, 0), false}},
      v6_packet(16, 44));
}

// What a header claims beyond the packet is not answered, nor read.
TEST(Unreachable, TruncatedChainV6) {
  for (std::size_t payload = 0; payload < 8; ++payload) {
    EXPECT_TRUE(reply_to(v6_packet(payload, 0)).empty()) << payload;
  }
  Packet packet = v6_packet(16, 0);
  packet[40] = 58;
  packet[41] = 255;
  EXPECT_TRUE(reply_to(packet).empty());
  packet[40] = 0;
  EXPECT_TRUE(reply_to(packet).empty());
  packet[41] = 1;  // ends exactly at the end of the packet
  packet[40] = 58;
  EXPECT_TRUE(reply_to(packet).empty());
  packet[40] = 59;
  EXPECT_FALSE(reply_to(packet).empty());
}

TEST(Unreachable, LongestChainEnds) {
  Packet packet = v6_packet(65'528, 0);
  std::fill(packet.begin() + 40, packet.end(), std::uint8_t{0});
  EXPECT_TRUE(reply_to(packet).empty());
}

TEST(UnreachableDeathTest, ShortBufferIsABug) {
  Packet out(unreachable_bytes_max - 1);
  EXPECT_DEATH(static_cast<void>(build_unreachable(out, v4_packet(0))), "assertion failed");
}

}  // namespace
}  // namespace wgring::noise
