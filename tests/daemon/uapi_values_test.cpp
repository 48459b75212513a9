#include "daemon/uapi_values.hpp"

#include <string>

#include <arpa/inet.h>
#include <gtest/gtest.h>

namespace wgring::daemon {
namespace {

using noise::Family;
using Kind = noise::AllowedIpChange::Kind;

std::uint32_t only_eth0(std::string_view name) noexcept { return name == "eth0" ? 7 : 0; }

std::string text_of(const noise::IpAddress& ip) {
  char digits[INET6_ADDRSTRLEN] = {};
  const int family = ip.family == Family::v4 ? AF_INET : AF_INET6;
  return inet_ntop(family, ip.bytes.data(), digits, sizeof digits);
}

struct EndpointCase {
  std::string_view text;
  std::string_view ip;  // empty: refused
  std::uint16_t port = 0;
  std::uint32_t scope_id = 0;
};

TEST(UapiValues, Endpoints) {
  const EndpointCase cases[] = {
      {"1.2.3.4:5", "1.2.3.4", 5},
      {"255.255.255.255:65535", "255.255.255.255", 65535},
      {"[::1]:51820", "::1", 51820},
      {"[fd00::5]:0", "fd00::5", 0},
      {"[fe80::1%eth0]:1", "fe80::1", 1, 7},
      {"[fe80::1%3]:1", "fe80::1", 1, 3},
      {"[fd00::1%3]:1", "fd00::1", 1, 0},
      {"[::ffff:10.0.0.1]:9", "10.0.0.1", 9},
      {"", ""},
      {":5", ""},
      {"1.2.3.4", ""},
      {"1.2.3.4:", ""},
      {"1.2.3.4:65536", ""},
      {"1.2.3.4:-1", ""},
      {"1.2.3.4:+1", ""},
      {"1.2.3.4: 1", ""},
      {"1.2.3.4:1x", ""},
      {"1.2.3:5", ""},
      {"1.2.3.256:5", ""},
      {"[1.2.3.4]:5", ""},
      {"::1:5", ""},
      {"[::1]", ""},
      {"[::1:5", ""},
      {"::1]:5", ""},
      {"[]:5", ""},
      {"[%eth0]:5", ""},
      {"[fe80::1%]:5", ""},
      {"[fe80::1%eth1]:5", ""},
      {"[fe80::1%-1]:5", ""},
      {"[fe80::1%4294967296]:5", ""},
      {"example.org:51820", ""},
      {std::string_view{"1.2.3.4\0:5", 10}, ""},
      {"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]:5", ""},
  };
  for (const EndpointCase& row : cases) {
    const auto endpoint = parse_endpoint(row.text, only_eth0);
    ASSERT_EQ(endpoint.has_value(), !row.ip.empty()) << row.text;
    if (endpoint) {
      EXPECT_EQ(text_of(endpoint->ip), row.ip) << row.text;
      EXPECT_EQ(endpoint->port, row.port) << row.text;
      EXPECT_EQ(endpoint->scope_id, row.scope_id) << row.text;
    }
  }
}

struct AllowedIpCase {
  std::string_view text;
  std::string_view ip;  // empty: refused
  unsigned cidr = 0;
  Kind kind = Kind::add;
};

TEST(UapiValues, AllowedIps) {
  const AllowedIpCase cases[] = {
      {"10.0.0.0/8", "10.0.0.0", 8},
      {"0.0.0.0/0", "0.0.0.0", 0},
      {"10.1.2.3/32", "10.1.2.3", 32},
      {"::/0", "::", 0},
      {"fd00::1/128", "fd00::1", 128},
      {"-10.0.0.0/8", "10.0.0.0", 8, Kind::remove},
      {"-fd00::/64", "fd00::", 64, Kind::remove},
      {"", ""},
      {"-", ""},
      {"/", ""},
      {"/8", ""},
      {"10.0.0.0", ""},
      {"10.0.0.0/", ""},
      {"10.0.0.0/33", ""},
      {"10.0.0.0/-1", ""},
      {"10.0.0.0/8/8", ""},
      {"10.0.0.0/ 8", ""},
      {"10.0.0/8", ""},
      {"fd00::/129", ""},
      {"fd00::/256", ""},
      {"--10.0.0.0/8", ""},
      {"+10.0.0.0/8", ""},
      {"[fd00::]/8", ""},
      {"fe80::1%eth0/64", ""},
  };
  for (const AllowedIpCase& row : cases) {
    const auto change = parse_allowed_ip(row.text);
    ASSERT_EQ(change.has_value(), !row.ip.empty()) << row.text;
    if (change) {
      EXPECT_EQ(text_of(change->prefix.address), row.ip) << row.text;
      EXPECT_EQ(change->prefix.cidr, row.cidr) << row.text;
      EXPECT_EQ(change->kind, row.kind) << row.text;
    }
  }
}

TEST(UapiValues, NumbersAreDecimalDigitsInRange) {
  EXPECT_EQ(parse_u16("0"), 0);
  EXPECT_EQ(parse_u16("65535"), 65535);
  EXPECT_EQ(parse_u32("4294967295"), 4294967295U);
  for (const std::string_view text : {"", "65536", "-1", "+1", " 1", "1 ", "0x10", "1.0", "1e2"}) {
    EXPECT_FALSE(parse_u16(text)) << text;
  }
  for (const std::string_view text : {"", "4294967296", "-1", "0xca6c", "off"}) {
    EXPECT_FALSE(parse_u32(text)) << text;
  }
}

}  // namespace
}  // namespace wgring::daemon
