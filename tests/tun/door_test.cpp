// What the door lets in, and what it keeps out.
#include <netinet/udp.h>

#include "door_fixture.hpp"

namespace wgring::tun::test {
namespace {

TEST_F(DoorTest, AnInitiationGoesToTheShardWithItsAddresses) {
  for (const char* const address : {"127.0.0.1", "::1"}) {
    const Peer peer(address);
    const std::string text = initiation(7);
    peer.send(address, group->port(), text);
    const auto got = taken(1);
    ASSERT_EQ(got.size(), 1U) << address;
    EXPECT_EQ(std::string(got[0].message.begin(), got[0].message.end()), text);
    EXPECT_EQ(got[0].source.port, peer.port());
    EXPECT_EQ(got[0].source.ip, got[0].destination.ip) << "loopback";
    EXPECT_EQ(got[0].destination.interface_index, 1U);
  }
  const ShardStats seen = stats();
  EXPECT_EQ(seen.engine.strangers_let_in, 2U);
  EXPECT_EQ(seen.engine.strangers_received, 2U);
  EXPECT_EQ(seen.engine.udp_received, 2U);
}

TEST_F(DoorTest, ASleepingShardIsRoused) {
  ASSERT_TRUE(inlet.begin_sleep());
  const Peer peer("127.0.0.1");
  peer.send("127.0.0.1", group->port(), initiation(7));
  pollfd awake{.fd = inlet.wake_fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&awake, 1, 20'000), 1);
  inlet.end_sleep();
  EXPECT_FALSE(inlet.begin_sleep()) << "there is something to take";
  EXPECT_EQ(taken(1).size(), 1U);
}

TEST_F(DoorTest, UnderLoadACookieComesFromOurPortAndItsHolderIsLetIn) {
  for (const auto& [own, asked] : {std::pair{"127.0.0.1", "127.0.0.2"}, {"::1", "::1"}}) {
    const Peer flooder(own);
    const Peer peer(own);
    const std::uint64_t before = stats().drops[noise::Drop::cookie_sent];
    ASSERT_TRUE(wait_for([&] {
      for (std::uint32_t i = 0; i < 200; ++i) {
        flooder.send(asked, group->port(), initiation(i));
      }
      std::ignore = taken(1, 1ms);
      return stats().drops[noise::Drop::cookie_sent] > before;
    })) << "load";
    // It hears only who answers from the address that it asked.
    if (std::strchr(asked, ':') == nullptr) {
      const sockaddr_in from = v4_address(asked, group->port());
      ASSERT_EQ(::connect(peer.fd(), reinterpret_cast<const sockaddr*>(&from), sizeof from), 0);
    }
    noise::CookieJar jar;
    std::string reply;
    ASSERT_TRUE(wait_for([&] {
      for (std::uint32_t i = 0; i < 100; ++i) {
        flooder.send(asked, group->port(), initiation(i));
      }
      peer.send(asked, group->port(), initiation(99, jar));
      reply = peer.receive(100);
      return !reply.empty();
    }));
    ASSERT_EQ(reply.size(), noise::CookieReplyLayout::size) << asked;
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(reply.data());
    EXPECT_EQ(load_le32(bytes + noise::CookieReplyLayout::receiver_index), 99U);
    ASSERT_TRUE(jar.consume_reply(fixed<noise::CookieReplyLayout::size>(Bytes{bytes, reply.size()}),
                                  remote, read_clock().boottime));
    while (!taken(1, 100ms).empty()) {
    }
    const std::string proven = initiation(100, jar);
    peer.send(asked, group->port(), proven);
    EXPECT_TRUE(wait_for([&] {
      const auto got = taken(1, 100ms);
      return std::any_of(got.begin(), got.end(), [&](const noise::HandedInitiation& one) {
        return std::string(one.message.begin(), one.message.end()) == proven;
      });
    })) << asked;
  }
  EXPECT_GE(stats().engine.udp_sent, 4U);
}

TEST_F(DoorTest, ATrainIsTakenApart) {
  use(0, ReceiveRuns::on);
  const Peer peer("127.0.0.1");
  std::string train;
  for (std::uint32_t i = 0; i < 5; ++i) {
    train += initiation(i);
  }
  const int cut = noise::InitiationLayout::size;
  ASSERT_EQ(::setsockopt(peer.fd(), IPPROTO_UDP, UDP_SEGMENT, &cut, sizeof cut), 0);
  peer.send("127.0.0.1", group->port(), train);
  const auto got = taken(5);
  ASSERT_EQ(got.size(), 5U);
  for (std::uint32_t i = 0; i < 5; ++i) {
    EXPECT_EQ(load_le32(&got[i].message[noise::InitiationLayout::sender_index]), i) << "in order";
  }
  EXPECT_EQ(stats().engine.strangers_received, 5U);
}

TEST_F(DoorTest, WhatIsKeptOutIsCountedAndNotAnswered) {
  const Peer peer("127.0.0.1");
  std::string other = initiation(1);
  other[noise::InitiationLayout::mac1] =
      static_cast<char>(other[noise::InitiationLayout::mac1] ^ 1);
  peer.send("127.0.0.1", group->port(), other);
  peer.send("127.0.0.1", group->port(), std::string(500, '\7'));
  peer.send("127.0.0.1", group->port(), initiation(2));
  EXPECT_EQ(taken(1).size(), 1U);
  EXPECT_EQ(stats().drops[noise::Drop::bad_mac1], 1U);
  EXPECT_TRUE(wait_for([&] { return stats().drops[noise::Drop::malformed] == 1; }));
  door->set_mac_keys(std::nullopt);
  peer.send("127.0.0.1", group->port(), initiation(3));
  EXPECT_TRUE(wait_for([&] { return stats().drops[noise::Drop::no_identity] == 1; }));
  EXPECT_TRUE(peer.receive(10).empty());
}

TEST_F(DoorTest, WhatTheShardHasNoRoomForIsLostAndCounted) {
  const Peer peer("127.0.0.1");
  constexpr std::uint32_t each = 100;
  std::uint64_t sent = 0;
  ASSERT_TRUE(wait_for([&] {
    for (std::uint32_t i = 0; i < each; ++i) {
      peer.send("127.0.0.1", group->port(), initiation(i));
    }
    sent += each;
    ::usleep(250'000);  // so few that none is asked for a cookie
    const ShardStats seen = stats();
    return seen.engine.door_full > 0 || sent > 5000;
  }));
  const ShardStats seen = stats();
  EXPECT_GT(seen.engine.strangers_let_in, 1000U);
  EXPECT_GT(seen.engine.door_full, 0U);
  EXPECT_EQ(taken(seen.engine.strangers_let_in).size(), seen.engine.strangers_let_in);
  peer.send("127.0.0.1", group->port(), initiation(1));
  EXPECT_EQ(peer.receive().size(), noise::CookieReplyLayout::size) << "it is load";
}

// The kernel gives a copy to every socket of the port, the shards' too.
TEST_F(DoorTest, ABroadcastIsLeftToTheShards) {
  run("ip link add near type veth peer name far");
  run("ip addr add 192.0.2.1/24 dev near");
  run("ip link set near up");
  run("ip link set far up");
  const Peer peer("192.0.2.1");
  const int on = 1;
  ASSERT_EQ(::setsockopt(peer.fd(), SOL_SOCKET, SO_BROADCAST, &on, sizeof on), 0);
  inlet.set_crowded(true);  // or it would be let in, not answered
  peer.send("192.0.2.255", group->port(), initiation(1));
  EXPECT_TRUE(wait_for([&] { return stats().engine.strangers_received == UdpGroup::door_count; }));
  EXPECT_TRUE(peer.receive(100).empty());
  pollfd shard{.fd = group->of(0).v4(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&shard, 1, 0), 1);
  EXPECT_EQ(stats().drops[noise::Drop::cookie_sent], 0U);
}

TEST_F(DoorTest, OldSocketsAreLetGo) {
  for (int round = 0; round < 20; ++round) {
    use(0);
    const std::uint16_t port = group->port();
    const Peer peer("::1");
    peer.send("::1", port, initiation(1));
    peer.send("::1", port, initiation(2));
    door->set_sockets(nullptr);
    group.reset();
    const Peer heir("::1", port);  // bound, or the case fails
  }
  use(0);
  while (!taken(1, 100ms).empty()) {
  }
  const Peer peer("127.0.0.1");
  peer.send("127.0.0.1", group->port(), initiation(3));
  const auto got = taken(1);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(load_le32(&got[0].message[noise::InitiationLayout::sender_index]), 3U);
}

// What shard `number` gets by the ring, copied.
struct Kept {
  std::string text;
  noise::SocketAddress source;
  noise::LocalSource destination;
};

class DoorJoinTest : public DoorTest {
 protected:
  void SetUp() override {
    DoorTest::SetUp();
    use(0, ReceiveRuns::on);
    peer = std::make_unique<Peer>("127.0.0.1");  // of this space
  }
  // In one piece, as the kernel joins them: each but the last of `cut` bytes.
  void send(const std::string& datagrams, std::size_t cut) {
    const int bytes = static_cast<int>(cut);
    ASSERT_EQ(::setsockopt(peer->fd(), IPPROTO_UDP, UDP_SEGMENT, &bytes, sizeof bytes), 0);
    peer->send("127.0.0.1", group->port(), datagrams);
  }
  std::vector<Kept> strays(std::uint32_t shard) {
    std::vector<Kept> kept;
    EXPECT_TRUE(wait_for([&] {
      HandOver& ring = inlets[shard].from(giver);
      ring.take(batch);
      for (const StrayDatagram& stray : batch.strays) {
        kept.push_back({.text = {stray.datagram.begin(), stray.datagram.end()},
                        .source = stray.source,
                        .destination = stray.destination});
      }
      batch.clear();
      ring.release();
      return !kept.empty();
    }));
    return kept;
  }
  static std::string naming(std::uint32_t index, noise::MessageType type, std::size_t bytes) {
    std::string text(bytes, '\5');
    auto* const at = reinterpret_cast<std::uint8_t*>(text.data());
    const bool late = type == noise::MessageType::response;
    store_le32(at, static_cast<std::uint32_t>(type));
    store_le32(
        at + (late ? noise::ResponseLayout::receiver_index : noise::DataLayout::receiver_index),
        index);
    return text;
  }

  std::unique_ptr<Peer> peer;
};

TEST_F(DoorJoinTest, WhatIsBehindAnInitiationGoesToItsShard) {
  for (const std::uint32_t shard : {0U, 1U}) {
    const std::uint32_t index = mark.put_on(0x00ab'cdeeU + shard);
    for (const auto& [type, bytes] : {std::pair{noise::MessageType::response, 92},
                                      {noise::MessageType::data, 32},
                                      {noise::MessageType::data, 147}}) {
      const std::string tail = naming(index, type, static_cast<std::size_t>(bytes));
      send(initiation(1) + tail, noise::InitiationLayout::size);
      const std::vector<Kept> got = strays(shard);
      ASSERT_EQ(got.size(), 1U) << bytes;
      EXPECT_EQ(got[0].text, tail);
      EXPECT_EQ(got[0].source.port, peer->port());
      EXPECT_EQ(got[0].destination.ip, got[0].source.ip) << "loopback";
    }
  }
  EXPECT_EQ(stats().drops[noise::Drop::malformed], 0U);
}

// Who forges the source of a peer does not take with him what the peer sends meanwhile.
TEST_F(DoorJoinTest, WhatIsBehindAForgedIndexGoesToItsShard) {
  constexpr std::size_t full = 1452;
  const std::uint32_t index = mark.put_on(0x00ab'cdefU);
  const std::string forged = naming(index ^ 0x0100'0000U, noise::MessageType::data, full);
  const std::string genuine = naming(index, noise::MessageType::data, full);
  std::string train = forged;
  for (int i = 0; i < 20; ++i) {
    train += genuine;
  }
  send(train + forged, full);
  std::vector<Kept> got;
  while (got.size() < 20 && !HasFailure()) {
    for (Kept& one : strays(1)) {
      got.push_back(std::move(one));
    }
  }
  ASSERT_EQ(got.size(), 20U);
  for (const Kept& one : got) {
    EXPECT_EQ(one.text, genuine);
  }
  EXPECT_EQ(stats().drops[noise::Drop::unknown_index], 2U);
  EXPECT_EQ(stats().drops[noise::Drop::malformed], 0U);
}

TEST_F(DoorTest, WhileTheShardIsBehindNobodyComesWithoutACookie) {
  const Peer peer("127.0.0.1");
  inlet.set_crowded(true);
  peer.send("127.0.0.1", group->port(), initiation(1));
  EXPECT_EQ(peer.receive().size(), noise::CookieReplyLayout::size);
  inlet.set_crowded(false);
  EXPECT_TRUE(wait_for([&] {
    peer.send("127.0.0.1", group->port(), initiation(2));
    return !taken(1, 100ms).empty();
  })) << "a second later";
}

// The address went while the message waited.
TEST_F(DoorTest, AnAnswerWhoseSourceIsRefusedGoesWithoutIt) {
  run("ip addr add 192.0.2.9/32 dev lo");
  const Peer peer("127.0.0.1");
  door->set_sockets(nullptr);
  inlet.set_crowded(true);
  peer.send("192.0.2.9", group->port(), initiation(1));
  run("ip addr del 192.0.2.9/32 dev lo");
  door->set_sockets(group.get());
  EXPECT_EQ(peer.receive().size(), noise::CookieReplyLayout::size);
  EXPECT_EQ(stats().engine.sources_refused, 1U);
  EXPECT_EQ(stats().engine.udp_sent, 1U);
}

}  // namespace
}  // namespace wgring::tun::test
