#include "daemon/uapi_format.hpp"

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

#include "daemon/uapi_values.hpp"

namespace wgring::daemon {
namespace {

std::uint32_t no_interface(std::string_view /*name*/) noexcept { return 0; }

std::string digits(char digit) { return std::string(64, digit); }

noise::PeerStatus peer(std::uint8_t byte) {
  noise::PeerStatus status;
  status.public_key.fill(byte);
  return status;
}

PeerPage page_of_one(noise::PeerStatus status) {
  PeerPage page;
  page.peers[0] = std::move(status);
  page.peer_count = 1;
  return page;
}

std::string formatted(const PeerPage& page) {
  TextBuffer text;
  text.restart(page_text_bytes_max(page));
  append_page(text, page);
  return std::string(text.view());
}

TEST(UapiFormat, DeviceShowsWhatIsSet) {
  TextBuffer text;
  text.restart(device_text_bytes_max);
  DeviceStatus status;
  append_device(text, status);
  EXPECT_EQ(text.view(), "");
  status.private_key.fill()[31] = 0x40;
  status.listen_port = 65535;
  status.fwmark = 4294967295U;
  append_device(text, status);
  EXPECT_EQ(text.view(),
            "private_key=" + std::string(62, '0') + "40\nlisten_port=65535\nfwmark=4294967295\n");
}

TEST(UapiFormat, FreshPeerShowsZeroesAndNoEndpoint) {
  EXPECT_EQ(formatted(page_of_one(peer(0xaa))),
            "public_key=" + digits('a') + "\npreshared_key=" + digits('0') +
                "\nprotocol_version=1\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\n"
                "tx_bytes=0\nrx_bytes=0\npersistent_keepalive_interval=0\n");
}

TEST(UapiFormat, FullPeerFillsItsBound) {
  noise::PeerStatus status = peer(0xbb);
  status.preshared_key.fill()[0] = 0x12;
  status.endpoint.remote =
      *parse_endpoint("[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535", no_interface);
  status.last_handshake = WallTime{Duration{1'700'000'000'123'456'789}};
  status.tx_bytes = ~std::uint64_t{0};
  status.rx_bytes = ~std::uint64_t{0} - 1;
  status.persistent_keepalive_s = 65535;
  status.prefix_count = 2;
  PeerPage page = page_of_one(std::move(status));
  page.prefixes[0] = parse_allowed_ip("10.0.0.0/8")->prefix;
  page.prefixes[1] = parse_allowed_ip("1111:2222:3333:4444:5555:6666:7777:8888/128")->prefix;
  page.prefix_count = 2;
  EXPECT_EQ(formatted(page),
            "public_key=" + digits('b') + "\npreshared_key=12" + std::string(62, '0') +
                "\nprotocol_version=1\n"
                "endpoint=[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535\n"
                "last_handshake_time_sec=1700000000\nlast_handshake_time_nsec=123456789\n"
                "tx_bytes=18446744073709551615\nrx_bytes=18446744073709551614\n"
                "persistent_keepalive_interval=65535\nallowed_ip=10.0.0.0/8\n"
                "allowed_ip=1111:2222:3333:4444:5555:6666:7777:8888/128\n");
}

TEST(UapiFormat, EndpointsComeBackAsTheyWereGiven) {
  for (const std::string text : {"1.2.3.4:5", "[::1]:65535", "[fe80::1%3]:1", "[fd00::2]:51820"}) {
    noise::PeerStatus status = peer(1);
    status.endpoint.remote = *parse_endpoint(text, no_interface);
    EXPECT_NE(formatted(page_of_one(std::move(status))).find("\nendpoint=" + text + "\n"),
              std::string::npos)
        << text;
  }
}

TEST(UapiFormat, PrefixesFollowTheirOwnPeer) {
  PeerPage page;
  for (std::size_t i = 0; i < 3; ++i) {
    page.peers[i] = peer(static_cast<std::uint8_t>(i));
    page.peers[i].prefix_count = static_cast<std::uint32_t>(i);
  }
  page.peer_count = 3;
  const char* const prefixes[] = {"10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"};
  for (const char* const prefix : prefixes) {
    page.prefixes[page.prefix_count++] = parse_allowed_ip(prefix)->prefix;
  }
  const std::string text = formatted(page);
  const std::size_t last_peer = text.rfind("public_key=");
  EXPECT_LT(text.find("10.1.0.0/16"), last_peer);
  EXPECT_GT(text.find("10.2.0.0/16"), last_peer);
  EXPECT_GT(text.find("10.3.0.0/16"), text.find("10.2.0.0/16"));
}

TEST(UapiFormat, ErrnoHasTheSignOfItsVerb) {
  const std::tuple<int, ErrnoSign, std::string> rows[] = {
      {0, ErrnoSign::negative, "errno=0\n\n"},
      {0, ErrnoSign::positive, "errno=0\n\n"},
      {EINVAL, ErrnoSign::negative, "errno=-22\n\n"},
      {EINVAL, ErrnoSign::positive, "errno=22\n\n"},
  };
  for (const auto& [number, sign, expected] : rows) {
    TextBuffer text;
    text.restart(errno_text_bytes_max);
    append_errno(text, number, sign);
    EXPECT_EQ(text.view(), expected);
  }
}

}  // namespace
}  // namespace wgring::daemon
