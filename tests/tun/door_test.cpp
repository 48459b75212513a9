// The door as its thread: real sockets on loopback, and the ring to the first shard.
#include "tun/door.hpp"

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <netinet/udp.h>
#include <sched.h>

#include "crypto/secret.hpp"
#include "crypto/self_test.hpp"
#include "noise/identity.hpp"
#include "space.hpp"
#include "tun/clock.hpp"
#include "tun/entropy.hpp"
#include "tun/memory_source.hpp"
#include "tun/udp_group.hpp"

namespace wgring::tun::test {
namespace {

using namespace std::chrono_literals;

class DoorTest : public SpaceTest {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(crypto::initialise()); }

  void SetUp() override {
    SpaceTest::SetUp();
    ASSERT_TRUE(inlets[0].open(0, giver + 1));
    ASSERT_TRUE(inlets[1].open(1, giver + 1));
    auto started = Door::start(
        {.memory = memory.source(), .entropy = system_entropy(), .mark = mark, .inlets = inlets});
    ASSERT_TRUE(started) << started.error().what;
    door = std::move(*started);
    ByteArray<32> key{};
    key.fill(0x22);
    ours.set(crypto::Secret<32>(key));
    remote.set_public_key(ours.public_key());
    door->set_mac_keys(ours.mac_keys());
    use(0);
  }
  void use(std::uint16_t port, ReceiveRuns runs = ReceiveRuns::off) {
    auto opened = UdpGroup::open(1, mark, port, 0, runs);
    ASSERT_TRUE(opened && !opened->door().empty());
    auto next = std::make_unique<UdpGroup>(std::move(*opened));
    door->set_sockets(next.get());
    group = std::move(next);
  }

  // Noise behind a valid mac1, and behind mac2 where `jar` has a cookie.
  [[nodiscard]] std::string initiation(std::uint32_t number, noise::CookieJar& jar) const {
    std::string text(noise::InitiationLayout::size, '\0');
    auto* const bytes = reinterpret_cast<std::uint8_t*>(text.data());
    bytes[0] = 1;
    store_le32(bytes + noise::InitiationLayout::sender_index, number);
    jar.add_macs({bytes, text.size()}, remote, read_clock().boottime);
    return text;
  }
  [[nodiscard]] std::string initiation(std::uint32_t number) const {
    noise::CookieJar jar;
    return initiation(number, jar);
  }
  // What the shard gets, in time.
  std::vector<noise::HandedInitiation> taken(std::size_t wanted, Duration patience = 20s) {
    std::vector<noise::HandedInitiation> all;
    const Instant end = read_clock().boottime + patience;
    while (all.size() < wanted && read_clock().boottime < end) {
      inlet.from(giver).take(batch);
      all.insert(all.end(), batch.initiations.begin(), batch.initiations.end());
      inlet.from(giver).release();
      if (batch.initiations.empty()) {
        ::usleep(200);
      }
      batch.clear();
    }
    return all;
  }
  ShardStats stats() {
    ShardStats sum;
    door->add_stats(sum);
    return sum;
  }
  template <typename Done>
  bool wait_for(Done&& done) {
    const Instant end = read_clock().boottime + 20s;
    bool is_done = done();
    while (!is_done && read_clock().boottime < end) {
      ::usleep(1000);
      is_done = done();
    }
    return is_done;
  }

  void flood() {
    const Peer peer("127.0.0.1");
    std::uint64_t sent = 0;
    const auto send = [&](std::uint32_t count) {
      for (std::uint32_t i = 0; i < count; ++i) {
        peer.send("127.0.0.1", group->port(), initiation(i));
      }
      sent += count;
    };
    for (int burst = 0; burst < 10; ++burst) {
      send(2000);
      ::usleep(20'000);
      EXPECT_LE(stats().engine.strangers_received, sent) << "and calls are served meanwhile";
    }
    // The kernel tells of what it lost with what comes after it.
    EXPECT_TRUE(wait_for([&] {
      send(1);
      ::usleep(10'000);
      const ShardStats seen = stats();
      return seen.engine.strangers_received + seen.engine.door_dropped == sent;
    }));
    while (!taken(1, 10ms).empty()) {
    }
    EXPECT_TRUE(wait_for([&] {
      send(1);
      return !taken(1, 300ms).empty();
    })) << "load is over";
  }

  std::string any_address() {
    std::string address = "127";
    for (int byte = 0; byte < 3; ++byte) {
      address += "." + std::to_string(random() % 200 + 2);
    }
    return address;
  }

  static constexpr std::uint32_t giver = 2;  // the door, behind two shards
  static constexpr noise::IndexMark mark{0x9e37'79b1U, 0x1234'5678U};
  SystemMemory memory;
  std::array<Inlet, giver> inlets;
  Inlet& inlet = inlets[0];
  noise::LocalIdentity ours;
  noise::RemoteIdentity remote;
  std::unique_ptr<UdpGroup> group;
  std::unique_ptr<Door> door;  // ends before its sockets
  HandOver::Batch batch;
  std::mt19937 random{5};
};

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
  EXPECT_EQ(::poll(&awake, 1, 5000), 1);
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

// Lines that are always full do not make the others wait: each is served in its turn.
TEST_F(DoorTest, AFloodFromManyDoesNotHoldUpWhoHasAMac2) {
  const std::uint16_t port = group->port();
  std::vector<std::unique_ptr<Peer>> crowd;
  for (int i = 0; i < 100; ++i) {
    crowd.push_back(std::make_unique<Peer>(any_address().c_str()));
  }
  const std::string message = initiation(1);
  const std::jthread flooding([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      for (const auto& one : crowd) {
        one->send("127.0.0.1", port, message);
      }
    }
  });
  ASSERT_TRUE(wait_for([&] { return stats().drops[noise::Drop::cookie_sent] > 0; })) << "load";
  const Peer peer("127.0.0.1");
  std::string with_mac2 = message;
  with_mac2.back() = '\1';
  EXPECT_TRUE(wait_for([&] {
    peer.send("127.0.0.1", port, with_mac2);
    return !peer.receive(100).empty();
  }));
}

// Of 64 strangers some stand in the line of the one that floods; the others do not notice.
TEST_F(DoorTest, AFloodFromOneAddressKeepsFewOthersOut) {
  door->set_sockets(nullptr);
  const Peer flooder("127.0.0.1");
  for (std::uint32_t i = 0; i < 5000; ++i) {
    flooder.send("127.0.0.1", group->port(), std::string(noise::InitiationLayout::size, '\1'));
  }
  constexpr std::uint32_t strangers = 64;
  for (std::uint32_t i = 0; i < strangers; ++i) {
    const Peer peer(any_address().c_str());
    peer.send("127.0.0.1", group->port(), initiation(i));
  }
  door->set_sockets(group.get());
  EXPECT_EQ(taken(strangers / 2).size(), strangers / 2);
}

TEST_F(DoorTest, AFloodIsReadAndEnds) { flood(); }

TEST_F(DoorTest, BesideDataAFloodIsReadAndEndsToo) {
  inlet.set_data_until(read_clock().boottime + 60s);
  flood();
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
  EXPECT_EQ(stats().drops[noise::Drop::malformed], 1U);
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
  EXPECT_TRUE(
      wait_for([&] { return stats().engine.strangers_received == UdpGroup::queue_count + 1; }));
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
  EXPECT_EQ(peer.receive(20'000).size(), noise::CookieReplyLayout::size);
  EXPECT_EQ(stats().engine.sources_refused, 1U);
  EXPECT_EQ(stats().engine.udp_sent, 1U);
}

// The thread of that name, of this process.
std::filesystem::path task_of(const std::string& name) {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string found;
    std::ifstream{task.path() / "comm"} >> found;
    if (found == name) {
      return task.path();
    }
  }
  return {};
}

int policy_of(const std::string& name) {
  std::ifstream file{task_of(name) / "stat"};
  const std::string text{std::istreambuf_iterator<char>{file}, {}};
  std::istringstream fields{text.substr(text.rfind(')') + 2)};
  const std::vector<std::string> words{std::istream_iterator<std::string>{fields}, {}};
  return std::stoi(words.at(41 - 3));
}

// How often it went to sleep.
int sleeps_of(const std::string& name) {
  std::ifstream file{task_of(name) / "status"};
  for (std::string word; file >> word;) {
    if (word == "voluntary_ctxt_switches:") {
      file >> word;
      return std::stoi(word);
    }
  }
  return -1;
}

// Of the door's two threads, for a while.
bool neither_wakes() {
  const int first = sleeps_of("wgring-door");
  const int second = sleeps_of("wgring-flood");
  ::usleep(200'000);
  return first >= 0 && sleeps_of("wgring-door") == first && sleeps_of("wgring-flood") == second;
}

TEST_F(DoorTest, AFloodStandsBehindTheDataPath) {
  // A test that is run under another policy sees that one.
  const int own = ::sched_getscheduler(0);
  EXPECT_EQ(policy_of("wgring-flood"), own == SCHED_OTHER ? SCHED_IDLE : own);
  EXPECT_EQ(policy_of("wgring-door"), own);
}

// What takes nearly all that the processor has which the thread of that name is bound to as well.
class Busy {
 public:
  explicit Busy(const std::string& name) {
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(static_cast<unsigned>(::sched_getcpu()), &first);
    const int thread = std::stoi(task_of(name).filename());
    EXPECT_EQ(::sched_setaffinity(thread, sizeof first, &first), 0);
    spins_ = std::jthread([first](const std::stop_token& stop) {
      EXPECT_EQ(::sched_setaffinity(0, sizeof first, &first), 0);
      // It comes back while the other runs, and then has the processor for long.
      while (!stop.stop_requested()) {
        ::usleep(1000);
        for (const Instant end = read_clock().boottime + 50ms; read_clock().boottime < end;) {
        }
      }
    });
  }

 private:
  std::jthread spins_;
};

TEST_F(DoorTest, WhoStandsStillWithTheDoorIsLifted) {
  const int own = ::sched_getscheduler(0);
  const Busy busy{"wgring-flood"};
  const Peer peer("127.0.0.1");
  for (Inlet& each : inlets) {
    each.set_data_until(Instant::max());
  }
  std::uint32_t number = 0;
  const auto until_policy = [&](int policy) {
    return wait_for([&] {
      for (int i = 0; i < 200; ++i) {
        peer.send("127.0.0.1", group->port(), initiation(number++));
      }
      return policy_of("wgring-flood") == policy;
    });
  };
  EXPECT_TRUE(until_policy(own));
  EXPECT_TRUE(until_policy(own == SCHED_OTHER ? SCHED_IDLE : own)) << "and goes back";
}

TEST_F(DoorTest, CallsAreServedWhileAFloodIsReadBesideData) {
  inlet.set_data_until(Instant::max());
  const std::uint16_t port = group->port();
  const std::jthread flooding([&](const std::stop_token& stop) {
    const Peer peer("127.0.0.1");
    for (std::uint32_t number = 0; !stop.stop_requested(); ++number) {
      peer.send("127.0.0.1", port, initiation(number));
    }
  });
  EXPECT_TRUE(wait_for([&] { return stats().engine.strangers_received > 20'000; }));
}

TEST_F(DoorTest, AFloodBesideDataEndsAndNobodyWakes) {
  inlet.set_data_until(Instant::max());
  const Peer peer("127.0.0.1");
  const int before = sleeps_of("wgring-flood");
  for (std::uint32_t i = 0; i < 5000; ++i) {
    peer.send("127.0.0.1", group->port(), initiation(i));
  }
  EXPECT_TRUE(wait_for([&] { return sleeps_of("wgring-flood") > before; })) << "it was one";
  EXPECT_TRUE(wait_for([] { return neither_wakes(); }));
}

TEST_F(DoorTest, AFloodEndsWithItsSockets) {
  const Peer peer("127.0.0.1");
  for (std::uint32_t i = 0; i < 5000; ++i) {
    peer.send("127.0.0.1", group->port(), initiation(i));
  }
  door->set_sockets(nullptr);
  EXPECT_TRUE(wait_for([] { return neither_wakes(); }));
}

}  // namespace
}  // namespace wgring::tun::test
