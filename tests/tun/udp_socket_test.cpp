#include "tun/udp_socket.hpp"

#include <fcntl.h>

#include "denied.hpp"
#include "space.hpp"
#include "tun/message.hpp"

namespace wgring::tun::test {
namespace {

class UdpPairTest : public SpaceTest {};

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t bytes = sizeof value;
  EXPECT_EQ(::getsockopt(fd, level, name, &value, &bytes), 0);
  return value;
}

TEST_F(UdpPairTest, PortZeroGivesOneFreePortInBothFamilies) {
  const auto pair = UdpPair::open(0, 0);
  ASSERT_TRUE(pair) << pair.error().what;
  EXPECT_GE(pair->v4(), 0);
  EXPECT_GE(pair->v6(), 0);
  EXPECT_NE(pair->port(), 0);
  for (const int fd : {pair->v4(), pair->v6()}) {
    sockaddr_in6 at{};
    socklen_t bytes = sizeof at;
    ASSERT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &bytes), 0);
    EXPECT_EQ(ntohs(at.sin6_port), pair->port());
  }
}

TEST_F(UdpPairTest, PortZeroAvoidsPortsThatAreBusyInV6) {
  // Two ports may be handed out; one of them is taken in v6.
  std::ofstream{"/proc/sys/net/ipv4/ip_local_port_range"} << "40000 40001";
  const Peer busy("::1", 40000);
  for (int i = 0; i < 8; ++i) {
    const auto pair = UdpPair::open(0, 0);
    ASSERT_TRUE(pair) << pair.error().what;
    EXPECT_EQ(pair->port(), 40001);
  }
}

TEST_F(UdpPairTest, BusyPortIsAnErrorThatSaysSo) {
  const auto first = UdpPair::open(0, 0);
  ASSERT_TRUE(first);
  const auto second = UdpPair::open(first->port(), 0);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().errno_value, EADDRINUSE);
  EXPECT_NE(second.error().what.find("in use"), std::string_view::npos);
  // Taken in v6 only counts as well.
  const Peer busy("::1", 50123);
  EXPECT_EQ(UdpPair::open(50123, 0).error().errno_value, EADDRINUSE);
}

TEST_F(UdpPairTest, ClosingFreesThePort) {
  std::uint16_t port = 0;
  {
    const auto pair = UdpPair::open(0, 0);
    ASSERT_TRUE(pair);
    port = pair->port();
  }
  EXPECT_TRUE(UdpPair::open(port, 0));
}

TEST_F(UdpPairTest, OptionsAreThoseOfTheProtocol) {
  auto pair = UdpPair::open(0, 0x51);
  ASSERT_TRUE(pair);
  EXPECT_EQ(option(pair->v6(), IPPROTO_IPV6, IPV6_V6ONLY), 1);
  EXPECT_EQ(option(pair->v4(), IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DONT);
  EXPECT_EQ(option(pair->v6(), IPPROTO_IPV6, IPV6_MTU_DISCOVER), IPV6_PMTUDISC_DONT);
  for (const int fd : {pair->v4(), pair->v6()}) {
    EXPECT_EQ(option(fd, SOL_SOCKET, SO_MARK), 0x51);
    EXPECT_GE(option(fd, SOL_SOCKET, SO_RCVBUF), 7 * 1024 * 1024);
    EXPECT_GE(option(fd, SOL_SOCKET, SO_SNDBUF), 7 * 1024 * 1024);
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
  ASSERT_TRUE(pair->set_fwmark(7));
  EXPECT_EQ(pair->fwmark(), 7U);
  EXPECT_EQ(option(pair->v4(), SOL_SOCKET, SO_MARK), 7);
  EXPECT_EQ(option(pair->v6(), SOL_SOCKET, SO_MARK), 7);
}

constexpr Denied without(unsigned family, unsigned error = EAFNOSUPPORT) {
  return {.call = SYS_socket, .error = error, .any_argument = false, .argument = family};
}

// fault: CVE-2022-49153
TEST_F(UdpPairTest, WithoutIpv6InTheKernelThereIsV4Alone) {
  with_denied(without(AF_INET6), [] {
    auto pair = UdpPair::open(0, 0x51);
    ASSERT_TRUE(pair) << pair.error().what;
    EXPECT_EQ(pair->v6(), -1);
    ASSERT_GE(pair->v4(), 0);
    EXPECT_NE(pair->port(), 0);
    ASSERT_TRUE(pair->set_fwmark(7));
    EXPECT_EQ(option(pair->v4(), SOL_SOCKET, SO_MARK), 7);
    EXPECT_EQ(UdpPair::open(pair->port(), 0).error().errno_value, EADDRINUSE);
  });
}

TEST_F(UdpPairTest, WithoutIpv4InTheKernelThereIsV6Alone) {
  with_denied(without(AF_INET), [] {
    const auto pair = UdpPair::open(0, 0);
    ASSERT_TRUE(pair) << pair.error().what;
    EXPECT_EQ(pair->v4(), -1);
    EXPECT_GE(pair->v6(), 0);
    EXPECT_NE(pair->port(), 0);
  });
}

TEST_F(UdpPairTest, WithoutEitherThereIsNone) {
  with_denied(without(AF_INET6), [] {
    ASSERT_TRUE(deny(without(AF_INET)));
    const auto pair = UdpPair::open(0, 0);
    ASSERT_FALSE(pair);
    EXPECT_EQ(pair.error().errno_value, EAFNOSUPPORT);
  });
}

TEST_F(UdpPairTest, AnotherErrorOfOneFamilyIsNotTakenForItsAbsence) {
  with_denied(without(AF_INET6, EMFILE), [] {
    const auto pair = UdpPair::open(0, 0);
    ASSERT_FALSE(pair);
    EXPECT_EQ(pair.error().errno_value, EMFILE);
  });
}

// --- control messages, through real sockets ---

struct Received {
  noise::Wild wild;
  Parsed parsed = Parsed::truncated;
  std::string text;
  std::uint32_t kernel_drops = 0;
};

Received receive(int fd, std::size_t room = 2000) {
  Received received;
  pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&ready, 1, 20'000), 1);
  std::vector<std::uint8_t> payload(room);
  ReceiveFrame frame;
  msghdr header;
  prepare_receive(frame, payload, header);
  const ssize_t bytes = ::recvmsg(fd, &header, 0);
  EXPECT_GE(bytes, 0);
  received.parsed =
      parse_received(header, static_cast<std::size_t>(bytes), received.wild, received.kernel_drops);
  received.text.assign(payload.begin(), payload.begin() + bytes);
  return received;
}

void send(int fd, const noise::Endpoint& endpoint, std::uint8_t traffic_class, std::string text) {
  NativeAddress name;
  SendControl control;
  to_native(endpoint.remote, name);
  build_control(endpoint, traffic_class, 0, control);
  iovec payload{.iov_base = text.data(), .iov_len = text.size()};
  msghdr header{};
  header.msg_name = &name.v6;
  header.msg_namelen = name.bytes;
  header.msg_iov = &payload;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes == 0 ? nullptr : control.data.data();
  header.msg_controllen = control.bytes;
  const ssize_t sent = ::sendmsg(fd, &header, 0);
  EXPECT_EQ(sent, static_cast<ssize_t>(text.size())) << std::strerror(errno);
}

TEST_F(UdpPairTest, V4SourceAndEcnMakeTheRoundTrip) {
  const auto ours = UdpPair::open(0, 0);
  const auto theirs = UdpPair::open(0, 0);
  ASSERT_TRUE(ours && theirs);
  // They know us as 127.0.0.7; what they hear must come from there.
  noise::SocketAddress to{.ip = {.family = noise::Family::v4, .bytes = {127, 0, 0, 7}},
                          .port = ours->port(),
                          .scope_id = 0};
  send(theirs->v4(), {.remote = to, .source = {}}, 0x8a, "to seven");
  const Received in = receive(ours->v4());
  ASSERT_EQ(in.parsed, Parsed::ok);
  EXPECT_EQ(in.text, "to seven");
  EXPECT_EQ(in.wild.bytes, 8U);
  EXPECT_EQ(in.wild.ecn, 2);
  EXPECT_EQ(in.wild.source.port, theirs->port());
  EXPECT_EQ(in.wild.destination.ip, to.ip);
  EXPECT_EQ(in.wild.destination.interface_index, ::if_nametoindex("lo"));

  send(ours->v4(), {.remote = in.wild.source, .source = in.wild.destination}, 0x01, "back");
  const Received back = receive(theirs->v4());
  EXPECT_EQ(back.text, "back");
  EXPECT_EQ(back.wild.source.ip, to.ip);
  EXPECT_EQ(back.wild.ecn, 1);
}

TEST_F(UdpPairTest, V6SourceAndEcnMakeTheRoundTrip) {
  add_v6("lo", "fd00::7");
  const auto ours = UdpPair::open(0, 0);
  const auto theirs = UdpPair::open(0, 0);
  ASSERT_TRUE(ours && theirs);
  noise::SocketAddress to{.ip = {.family = noise::Family::v6}, .port = ours->port(), .scope_id = 0};
  to.ip.bytes[0] = 0xfd;
  to.ip.bytes[15] = 7;
  send(theirs->v6(), {.remote = to, .source = {}}, 0x8b, "to seven");
  const Received in = receive(ours->v6());
  ASSERT_EQ(in.parsed, Parsed::ok);
  EXPECT_EQ(in.wild.ecn, 3);
  EXPECT_EQ(in.wild.destination.ip, to.ip);
  EXPECT_EQ(in.wild.source.scope_id, 0U);

  noise::Endpoint endpoint{.remote = in.wild.source, .source = in.wild.destination};
  send(ours->v6(), endpoint, 0, "back");
  const Received back = receive(theirs->v6());
  EXPECT_EQ(back.text, "back");
  EXPECT_EQ(back.wild.source.ip, to.ip);
  EXPECT_EQ(back.wild.ecn, 0);
}

TEST_F(UdpPairTest, V6LinkLocalKeepsItsScope) {
  run("ip link add left type veth peer name right && ip link set left up && ip link set right up");
  add_v6("left", "fe80::1");
  add_v6("right", "fe80::2");
  const auto ours = UdpPair::open(0, 0);
  const auto theirs = UdpPair::open(0, 0);
  ASSERT_TRUE(ours && theirs);
  noise::SocketAddress to{.ip = {.family = noise::Family::v6}, .port = ours->port(), .scope_id = 0};
  to.ip.bytes[0] = 0xfe;
  to.ip.bytes[1] = 0x80;
  to.ip.bytes[15] = 2;
  to.scope_id = ::if_nametoindex("left");
  send(theirs->v6(), {.remote = to, .source = {}}, 0, "hello");
  const Received in = receive(ours->v6());
  EXPECT_EQ(in.wild.source.scope_id, ::if_nametoindex("right"));
  EXPECT_EQ(in.wild.destination.interface_index, ::if_nametoindex("right"));
  send(ours->v6(), {.remote = in.wild.source, .source = in.wild.destination}, 0, "back");
  EXPECT_EQ(receive(theirs->v6()).wild.source.ip, to.ip);
}

// fault: zephyr-111082
TEST_F(UdpPairTest, ADatagramLongerThanTheSlotIsTruncated) {
  const auto ours = UdpPair::open(0, 0);
  ASSERT_TRUE(ours);
  const Peer peer("127.0.0.1");
  peer.send("127.0.0.1", ours->port(), std::string(101, 'x'));
  EXPECT_EQ(receive(ours->v4(), 100).parsed, Parsed::truncated);
  peer.send("127.0.0.1", ours->port(), std::string(100, 'x'));
  EXPECT_EQ(receive(ours->v4(), 100).parsed, Parsed::ok);
  peer.send("127.0.0.1", ours->port(), "");
  const Received empty = receive(ours->v4(), 100);
  EXPECT_EQ(empty.parsed, Parsed::ok);
  EXPECT_EQ(empty.wild.bytes, 0U);
}

}  // namespace
}  // namespace wgring::tun::test
