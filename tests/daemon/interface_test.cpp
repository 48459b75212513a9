// Requests through the shard to a real Device; a socket pair stands in for TUN.
#include "daemon/interface.hpp"

#include <array>
#include <cerrno>
#include <memory>
#include <string>

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "crypto/self_test.hpp"
#include "daemon/uapi_parser.hpp"
#include "tun/entropy.hpp"
#include "tun/fd.hpp"
#include "tun/memory_source.hpp"

namespace wgring::daemon {
namespace {

std::uint32_t no_interface(std::string_view /*name*/) noexcept { return 0; }

std::string key_line(std::string_view key, std::uint32_t number) {
  char digits[65];
  std::snprintf(digits, sizeof digits, "%064x", number);
  return std::string(key) + "=" + digits + "\n";
}

std::uint16_t free_port() {
  const auto pair = tun::UdpPair::open(0, 0);
  EXPECT_TRUE(pair);
  return pair->port();
}

class InterfaceTest : public testing::Test {
 protected:
  InterfaceTest() {
    EXPECT_TRUE(crypto::initialise());
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    tun_ = tun::Fd(ends[0]);
    far_end_ = tun::Fd(ends[1]);
    auto started = tun::Shard::start({.tun_fd = tun_.get(),
                                      .engine = tun::EngineKind::epoll,
                                      .aead = &crypto::aead_boringssl(),
                                      .memory = memory_.source(),
                                      .entropy = tun::system_entropy()});
    EXPECT_TRUE(started);
    shard_ = std::move(*started);
    interface_ = std::make_unique<Interface>(*shard_, tun::ReceiveRuns::on);
  }

  // The errno of the set; 0: applied.
  int set(const std::string& body) {
    UapiParser parser(no_interface);
    const std::string text = "set=1\n" + body + "\n";
    EXPECT_EQ(parser.feed(text).progress, UapiParser::Progress::complete);
    EXPECT_EQ(parser.refusal(), nullptr);
    const Status applied = interface_->apply(parser.take_set());
    return applied ? 0 : applied.error().errno_value;
  }
  DeviceStatus device() {
    DeviceStatus status;
    interface_->read_device(status);
    return status;
  }
  // "number:prefixes" of all peers, over as many pages as it takes.
  std::string peers() {
    std::string text;
    PeerPage page;
    std::uint64_t after_serial = 0;
    do {
      interface_->read_peers(after_serial, page);
      for (std::size_t i = 0; i < page.peer_count; ++i) {
        const noise::PeerStatus& peer = page.peers[i];
        text += (text.empty() ? "" : " ") + std::to_string(load_be32(&peer.public_key[28])) + ":" +
                std::to_string(peer.prefix_count);
        after_serial = peer.serial;
      }
    } while (!page.last);
    return text;
  }

  tun::Fd tun_;
  tun::Fd far_end_;
  tun::SystemMemory memory_;
  std::unique_ptr<tun::Shard> shard_;
  std::unique_ptr<Interface> interface_;
};

TEST_F(InterfaceTest, PortIsRememberedWhileDownAndUsedWhenUp) {
  const std::uint16_t port = free_port();
  EXPECT_EQ(device().listen_port, 0);
  EXPECT_EQ(set("listen_port=" + std::to_string(port) + "\n"), 0);
  EXPECT_EQ(device().listen_port, port);
  EXPECT_TRUE(tun::UdpPair::open(port, 0)) << "no socket while the link is down";
  interface_->set_link(Link::up);
  EXPECT_FALSE(tun::UdpPair::open(port, 0));
  interface_->set_link(Link::down);
  EXPECT_TRUE(tun::UdpPair::open(port, 0));
  EXPECT_EQ(device().listen_port, port);
}

TEST_F(InterfaceTest, PortZeroBecomesARealOneThatIsKept) {
  interface_->set_link(Link::up);
  const std::uint16_t first = device().listen_port;
  EXPECT_NE(first, 0);
  EXPECT_EQ(set("listen_port=" + std::to_string(first) + "\n"), 0) << "the same port: no-op";
  interface_->set_link(Link::down);
  interface_->set_link(Link::up);
  EXPECT_EQ(device().listen_port, first);
}

TEST_F(InterfaceTest, PortZeroWhileUpIsReplacedByAnotherFreeOne) {
  interface_->set_link(Link::up);
  const std::uint16_t first = device().listen_port;
  EXPECT_EQ(set("listen_port=0\n"), 0);
  const std::uint16_t second = device().listen_port;
  EXPECT_NE(second, 0);
  EXPECT_NE(second, first);
  EXPECT_FALSE(tun::UdpPair::open(second, 0));
  EXPECT_TRUE(tun::UdpPair::open(first, 0)) << "the old sockets are closed";
}

TEST_F(InterfaceTest, BusyPortRefusesTheWholeSet) {
  interface_->set_link(Link::up);
  const std::uint16_t before = device().listen_port;
  const auto busy = tun::UdpPair::open(0, 0);
  ASSERT_TRUE(busy);
  EXPECT_EQ(set(key_line("private_key", 5) + "listen_port=" + std::to_string(busy->port()) + "\n" +
                key_line("public_key", 1)),
            EADDRINUSE);
  EXPECT_EQ(device().listen_port, before);
  EXPECT_TRUE(crypto::ct_is_zero(device().private_key.view()));
  EXPECT_EQ(peers(), "");
  EXPECT_FALSE(tun::UdpPair::open(before, 0)) << "the old port is still ours";
}

TEST_F(InterfaceTest, PortThatWasBusyWhenTheLinkCameUpIsTriedAgain) {
  auto busy = tun::UdpPair::open(0, 0);
  ASSERT_TRUE(busy);
  const std::uint16_t port = busy->port();
  EXPECT_EQ(set("listen_port=" + std::to_string(port) + "\n"), 0);
  interface_->set_link(Link::up);
  EXPECT_EQ(device().listen_port, port);
  EXPECT_EQ(set("listen_port=" + std::to_string(port) + "\n"), EADDRINUSE);
  *busy = {};
  EXPECT_EQ(set(key_line("public_key", 1)), 0);
  EXPECT_FALSE(tun::UdpPair::open(port, 0)) << "any set tries again";
}

TEST_F(InterfaceTest, PeersComeBackInOrderOverManyPages) {
  std::string body;
  std::string expected;
  for (std::uint32_t i = 1; i <= 1000; ++i) {
    body += key_line("public_key", i) + "allowed_ip=10." + std::to_string(i / 256) + "." +
            std::to_string(i % 256) + ".0/24\n";
    expected += (i == 1 ? "" : " ") + std::to_string(i) + ":1";
  }
  EXPECT_EQ(set(body), 0);
  EXPECT_EQ(peers(), expected);
  EXPECT_EQ(set("replace_peers=true\n" + key_line("public_key", 7)), 0);
  EXPECT_EQ(peers(), "7:0");
}

TEST_F(InterfaceTest, PeerWithMorePrefixesThanAVisitOrAPageTakes) {
  std::string body = key_line("public_key", 1) + "replace_allowed_ips=true\n";
  for (std::uint32_t i = 0; i < 5000; ++i) {
    body += "allowed_ip=10." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ".0/24\n";
  }
  EXPECT_EQ(set(body + key_line("public_key", 2) + "allowed_ip=10.0.3.0/24\n"), 0);
  EXPECT_EQ(peers(), "1:4999 2:1") << "in sequence: the later section takes its prefix";
  EXPECT_EQ(set(key_line("public_key", 1) + "allowed_ip=-10.0.5.0/24\n"), 0);
  EXPECT_EQ(peers(), "1:4998 2:1");
}

TEST_F(InterfaceTest, RemovedAndUpdateOnlySectionsAddNothing) {
  EXPECT_EQ(set(key_line("public_key", 1) + key_line("public_key", 2)), 0);
  EXPECT_EQ(set(key_line("public_key", 1) + "remove=true\nallowed_ip=10.0.0.0/8\n" +
                key_line("public_key", 3) + "update_only=true\nallowed_ip=10.0.0.0/8\n"),
            0);
  EXPECT_EQ(peers(), "2:0");
}

TEST_F(InterfaceTest, MoreThanTheDeviceTakesIsRefusedWhole) {
  SetRequest request;
  const std::uint32_t peers_max = 1U << 20;
  for (std::uint32_t i = 0; i <= peers_max; ++i) {
    store_be32(request.peers.emplace_back().public_key.data(), i + 1);
  }
  const Status applied = interface_->apply(request);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().errno_value, ENOMEM);
  EXPECT_EQ(peers(), "");
}

TEST_F(InterfaceTest, SectionsOfPeersThatAreThereNeedNoRoom) {
  EXPECT_EQ(set(key_line("public_key", 1)), 0);
  SetRequest request;
  for (std::uint32_t i = 0; i < (1U << 20); ++i) {
    store_be32(&request.peers.emplace_back().public_key[28], 1);
  }
  EXPECT_TRUE(interface_->apply(request)) << "the bound alone would refuse it";
  EXPECT_EQ(peers(), "1:0");
}

}  // namespace
}  // namespace wgring::daemon
