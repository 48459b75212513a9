// The shard with the real core: its thread, its tasks, and two of them that talk.
#include "tun/shard.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <netinet/udp.h>

#include "crypto/self_test.hpp"
#include "space.hpp"
#include "tun/clock.hpp"
#include "tun/entropy.hpp"
#include "tun/memory_source.hpp"
#include "tun/tun_device.hpp"

namespace wgring::tun::test {
namespace {

using namespace std::chrono_literals;

class ShardTest : public SpaceTest, public ::testing::WithParamInterface<EngineKind> {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(crypto::initialise()); }

  std::unique_ptr<Shard> start(const TunDevice& device, const Offloads& offloads = {},
                               const LanePolicy& lanes = {}) {
    auto shard = Shard::start({.tun_fd = device.fd(),
                               .vnet = device.vnet(),
                               .offloads = offloads,
                               .engine = GetParam(),
                               .aead = aead_,
                               .memory = memory_.source(),
                               .entropy = system_entropy(),
                               .lanes = lanes},
                              alone());
    EXPECT_TRUE(shard) << shard.error().what;
    return shard ? std::move(*shard) : nullptr;
  }
  // The place of one that has no other beside it.
  ShardPlace alone() {
    std::array<Inlet, 1>& inlets = inlets_.emplace_back();
    EXPECT_TRUE(inlets[0].open(0, 2));
    return {.mark = noise::IndexMark{0x9e37'79b1U, 0x1234'5678U}, .inlets = inlets};
  }
  static TunDevice make_tun(const char* name) {
    auto device = create_plain(name);
    EXPECT_TRUE(device);
    return device ? std::move(*device) : TunDevice{};
  }

  SystemMemory memory_;
  const crypto::Aead* aead_ = &crypto::aead_boringssl();
  std::deque<std::array<Inlet, 1>> inlets_;
};

INSTANTIATE_TEST_SUITE_P(Engines, ShardTest,
                         ::testing::Values(EngineKind::epoll, EngineKind::uring,
                                           EngineKind::uring_basic),
                         [](const auto& at) {
                           std::string name{engine_name(at.param)};
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

bool is_readable(int fd, int timeout_ms) {
  pollfd at{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&at, 1, timeout_ms) == 1;
}

TEST_P(ShardTest, StartsSaysWhatItChoseAndEnds) {
  const TunDevice device = make_tun("wgt0");
  const auto shard = start(device);
  ASSERT_TRUE(shard);
  EXPECT_EQ(shard->engine().kind, GetParam());
  EXPECT_FALSE(shard->engine().why.empty());
  EXPECT_FALSE(is_readable(shard->notify_fd(), 0));
}

// fault: linux-2020
TEST_P(ShardTest, TasksRunOnTheShardsThreadOneByOne) {
  const TunDevice device = make_tun("wgt0");
  const auto shard = start(device);
  ASSERT_TRUE(shard);
  pid_t where = 0;
  shard->call([&](ShardContext&) { where = ::gettid(); });
  EXPECT_NE(where, 0);
  EXPECT_NE(where, ::gettid());
  // Not atomic: the shard is the only one that touches it.
  std::uint64_t sum = 0;
  Instant last{};
  const auto add = [&] {
    for (int i = 0; i < 1000; ++i) {
      shard->call([&](ShardContext& context) {
        sum += 1;
        EXPECT_GE(context.now.boottime, last);
        EXPECT_TRUE(context.outbox.empty());
        last = context.now.boottime;
      });
    }
  };
  std::thread other(add);
  add();
  other.join();
  EXPECT_EQ(sum, 2000U);
}

// fault: boringtun-227
TEST_P(ShardTest, AnIdleShardSleeps) {
  const TunDevice device = make_tun("wgt0");
  const auto shard = start(device);
  ASSERT_TRUE(shard);
  const std::uint64_t before = shard->stats().turns;
  std::this_thread::sleep_for(300ms);
  // stats() itself takes a turn or two.
  EXPECT_LE(shard->stats().turns - before, 3U);
}

TEST_P(ShardTest, TheEndOfTheInterfaceIsNoticed) {
  const TunDevice device = make_tun("wgt0");
  set_up("wgt0");
  const auto shard = start(device);
  ASSERT_TRUE(shard);
  run("ip link delete wgt0");
  ASSERT_TRUE(is_readable(shard->notify_fd(), 20'000));
  const Notices notices = shard->take_notices();
  EXPECT_TRUE(notices.tun_gone);
  EXPECT_FALSE(notices.fatal);
  EXPECT_FALSE(is_readable(shard->notify_fd(), 0));
  EXPECT_FALSE(shard->take_notices().tun_gone);
  // It still serves, and still ends.
  bool served = false;
  shard->call([&](ShardContext&) { served = true; });
  EXPECT_TRUE(served);
}

TEST_P(ShardTest, AFatalErrorIsNoticedAndTasksStillRun) {
  const TunDevice device = make_tun("wgt0");
  const auto shard = start(device);
  ASSERT_TRUE(shard);
  // A pair whose socket turns into something else under the engine.
  auto pair = UdpPair::open(0, 0);
  ASSERT_TRUE(pair);
  const Fd pipe{::open("/dev/zero", O_RDWR | O_NONBLOCK)};
  ASSERT_GE(::dup2(pipe.get(), pair->v4()), 0);
  shard->call([&](ShardContext& context) { context.set_sockets(&*pair); });
  ASSERT_TRUE(is_readable(shard->notify_fd(), 20'000));
  const Notices notices = shard->take_notices();
  EXPECT_TRUE(notices.fatal);
  EXPECT_FALSE(notices.error.what.empty());
  bool served = false;
  shard->call([&](ShardContext& context) {
    served = true;
    context.flush();
  });
  EXPECT_TRUE(served);
}

TEST_P(ShardTest, ADescriptorThatIsNoneIsAnErrorOrTheEnd) {
  const auto shard = Shard::start({.tun_fd = -1,
                                   .engine = GetParam(),
                                   .aead = &crypto::aead_boringssl(),
                                   .memory = memory_.source(),
                                   .entropy = system_entropy()},
                                  alone());
  if (!shard) {
    EXPECT_EQ(shard.error().errno_value, EBADF);
    return;
  }
  // A ring says so with its first read.
  ASSERT_TRUE(is_readable((*shard)->notify_fd(), 20'000));
  EXPECT_TRUE((*shard)->take_notices().fatal);
}

// --- a tunnel ---

crypto::Secret<32> private_key(std::uint8_t fill) {
  ByteArray<32> bytes;
  bytes.fill(fill);
  crypto::clamp(bytes);
  return crypto::Secret<32>(bytes);
}
crypto::PublicKey public_key(std::uint8_t fill) {
  crypto::PublicKey key{};
  crypto::x25519_public(key, private_key(fill).view());
  return key;
}

struct End {
  TunDevice device;
  UdpPair pair;
  std::unique_ptr<Shard> shard;
};

// `other_port` 0: this end does not know where the other is.
void configure(End& end, std::uint8_t own, std::uint8_t other, std::uint16_t other_port) {
  noise::AllowedIpChange all;
  all.prefix.address.family = noise::Family::v4;
  end.shard->call([&](ShardContext& context) {
    context.set_sockets(&end.pair);
    context.device.set_private_key(private_key(own), context.now, context.outbox);
    context.flush();
    ASSERT_TRUE(context.device.reserve(1, 1));
    noise::PeerUpdate update;
    update.public_key = public_key(other);
    if (other_port != 0) {
      noise::SocketAddress to{.ip = {.family = noise::Family::v4, .bytes = {127, 0, 0, 1}},
                              .port = other_port,
                              .scope_id = 0};
      update.endpoint = to;
    }
    update.allowed_ips = {&all, 1};
    ASSERT_TRUE(context.device.apply_peer(update, context.now, context.outbox));
    context.flush();
    context.device.set_link(true, context.now, context.outbox);
  });
}

void talk(const Peer& host_a, const Peer& host_b) {
  for (std::size_t i = 0; i < 500; ++i) {
    const std::string there = "there " + std::to_string(i) + std::string(1 + 13 * i % 1300, 't');
    const std::string back = "back " + std::to_string(i) + std::string(1 + 17 * i % 1300, 'b');
    host_a.send("10.9.0.2", host_b.port(), there);
    ASSERT_EQ(host_b.receive(), there);
    host_b.send("10.9.0.1", host_a.port(), back);
    ASSERT_EQ(host_a.receive(), back);
  }
  // Bursts, in order.
  for (int burst = 0; burst < 20; ++burst) {
    for (int i = 0; i < 100; ++i) {
      host_a.send("10.9.0.2", host_b.port(), std::to_string(burst * 100 + i));
    }
    for (int i = 0; i < 100; ++i) {
      ASSERT_EQ(host_b.receive(), std::to_string(burst * 100 + i));
    }
  }
}

// Two hosts with a tunnel between them: 10.9.0.1 is this namespace, 10.9.0.2 another one.
// What the door is told in a turn that opens packets, and when it has opened them.
struct Watched {
  std::atomic<const Inlet*> inlet{nullptr};
  std::atomic<bool> is_taken_for_data{false};
  std::atomic<Instant> opened{};
} watched;

constexpr Duration slow_opener_takes = 3 * noise::data_holds;

const crypto::Aead slow_opener{
    .name = "slow",
    .seal = crypto::aead_boringssl().seal,
    .open = [](BytesOf<32> key, std::span<crypto::OpenSegment> train) noexcept {
      crypto::aead_boringssl().open(key, train);
      watched.is_taken_for_data = watched.inlet.load()->data_until() == Instant::max();
      std::this_thread::sleep_for(slow_opener_takes);
      watched.opened = read_clock().boottime;
    }};

class TunnelTest : public ShardTest {
 protected:
  void connect(const Offloads& offloads = plain(), const LanePolicy& lanes = {}) {
    working = offloads;
    a.device = make_tun("wgta", working);
    set_address("wgta", "10.9.0.1");
    open_pair(a);
    open_pair(b);
    std::thread([&] {
      ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
      b.device = make_tun("wgtb", working);
      set_address("wgtb", "10.9.0.2");
      host_b = std::make_unique<Peer>("10.9.0.2");
    }).join();
    ASSERT_TRUE(host_b);
    host_a = std::make_unique<Peer>("10.9.0.1");
    a.shard = start(a.device, working, lanes);
    b.shard = start(b.device, working, lanes);
    ASSERT_TRUE(a.shard && b.shard);
    configure(a, 1, 2, b.pair.port());
    configure(b, 2, 1, 0);
  }
  void carry(const char* text) {
    host_a->send("10.9.0.2", host_b->port(), text);
    EXPECT_EQ(host_b->receive(), text);
  }
  static Offloads plain() {
    Offloads plain;
    plain.turn_off_tun("not in this test");
    return plain;
  }
  static TunDevice make_tun(const char* name, Offloads& offloads) {
    auto device = TunDevice::create(name, offloads);
    EXPECT_TRUE(device);
    return device ? std::move(*device) : TunDevice{};
  }
  static void open_pair(End& end) {
    auto pair = UdpPair::open(0, 0, ReceiveRuns::on);
    ASSERT_TRUE(pair);
    end.pair = std::move(*pair);
  }

  Offloads working;  // what was asked for and this kernel has
  End a;
  End b;
  std::unique_ptr<Peer> host_a;
  std::unique_ptr<Peer> host_b;
};

INSTANTIATE_TEST_SUITE_P(Engines, TunnelTest,
                         ::testing::Values(EngineKind::epoll, EngineKind::uring),
                         [](const auto& at) { return std::string{engine_name(at.param)}; });

TEST_P(TunnelTest, TwoShardsCarryPacketsBothWays) {
  connect();
  host_a->send("10.9.0.2", host_b->port(), "first, and it waits for the handshake");
  ASSERT_EQ(host_b->receive(), "first, and it waits for the handshake");
  talk(*host_a, *host_b);

  // What happened was told.
  ASSERT_TRUE(is_readable(a.shard->notify_fd(), 20'000));
  Notices notices = a.shard->take_notices();
  EXPECT_GT(notices.events.size(), 0U);
  EXPECT_EQ(notices.events_lost, 0U);
  const ShardStats stats = a.shard->stats();
  EXPECT_EQ(stats.engine.send_errors.sum(), 0U);
  EXPECT_GE(stats.engine.tun_read, 2501U);
  EXPECT_GE(stats.engine.tun_written, 500U);

  // A new port for a: the session goes on, b follows.
  auto pair = UdpPair::open(0, 0);
  ASSERT_TRUE(pair);
  a.shard->call([&](ShardContext& context) { context.set_sockets(&*pair); });
  a.pair = std::move(*pair);
  a.shard->call([&](ShardContext& context) { context.set_sockets(&a.pair); });
  host_a->send("10.9.0.2", host_b->port(), "from the new port");
  ASSERT_EQ(host_b->receive(), "from the new port");
  host_b->send("10.9.0.1", host_a->port(), "to the new port");
  ASSERT_EQ(host_a->receive(), "to the new port");

  // Ending with sockets, keys and reads in place.
  a.shard.reset();
  b.shard.reset();
}

// --- order ---

// `count` datagrams of `bytes`, numbered from `first`, as one call: TUN may hand them over as one
// super-packet.
void send_at_once(const Peer& from, const Peer& to, std::size_t first, std::size_t count,
                  std::size_t bytes) {
  std::string all;
  for (std::size_t i = first; i < first + count; ++i) {
    all += std::to_string(i) + ":";
    all.resize((i - first + 1) * bytes, 'x');
  }
  int segment = static_cast<int>(count > 1 ? bytes : 0);
  ASSERT_EQ(::setsockopt(from.fd(), IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
  from.send("10.9.0.2", to.port(), all);
}

// Numbered datagrams of one flow, faster than they can be carried: what arrives is in order.
void expect_order(const Peer& from, const Peer& to, std::size_t count) {
  constexpr std::size_t sizes[] = {16, 100, 1000, 1300, 1352};
  std::atomic<bool> all_sent = false;
  std::thread sender([&] {
    for (std::size_t i = 0; i < count;) {
      const std::size_t run = i / 200 % 2 == 0 ? 1 : 40;
      send_at_once(from, to, i, run, sizes[i / 400 % std::size(sizes)]);
      i += run;
    }
    all_sent = true;
  });
  std::size_t next = 0;
  std::size_t arrived = 0;
  for (bool is_over = false; !is_over;) {
    const bool was_all_sent = all_sent;
    const std::string text = to.receive(1000);
    is_over = text.empty() && was_all_sent;
    if (!text.empty()) {
      const std::size_t number = std::stoul(text);
      EXPECT_GE(number, next) << "a packet was overtaken";
      next = number + 1;
      arrived += 1;
    }
  }
  sender.join();
  EXPECT_GT(arrived, count / 20);
}

// Not behind all that comes: else any stranger could put it there.
TEST_P(TunnelTest, TheDoorIsBehindAuthenticData) {
  connect();
  const Inlet& inlet = inlets_.back()[0];
  const Peer stranger{"127.0.0.1"};
  for (int i = 0; i < 10; ++i) {
    stranger.send("127.0.0.1", b.pair.port(), std::string("\4\0\0\0", 4) + std::string(60, 'x'));
  }
  for (int i = 0; i < 1000 && b.shard->stats().drops[noise::Drop::unknown_index] < 10; ++i) {
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(b.shard->stats().drops[noise::Drop::unknown_index], 10U);
  EXPECT_LE(inlet.data_until(), Instant{});
  carry("data");
  static_cast<void>(b.shard->stats());  // a turn later
  EXPECT_GT(inlet.data_until(), Instant{});
}

// Not only until its own end as its beginning foretells it: a turn may be long.
TEST_P(TunnelTest, TheDoorIsBehindDataFromTheEndOfItsTurn) {
  aead_ = &slow_opener;
  connect();
  watched.inlet = &inlets_.back()[0];
  carry("first");
  b.shard->call([](ShardContext& /*context*/) {});  // behind the end of that turn
  EXPECT_FALSE(watched.is_taken_for_data) << "the first, of which nobody knew";
  std::this_thread::sleep_for(5 * noise::data_holds);
  carry("second");
  EXPECT_FALSE(watched.is_taken_for_data) << "data was long ago";
  b.shard->call([&](ShardContext& /*context*/) {
    const Instant until = watched.inlet.load()->data_until();
    EXPECT_GE(until, watched.opened.load() + noise::data_holds);
    EXPECT_LT(until, Instant::max());
  });
}

TEST_P(TunnelTest, ATurnRightBehindDataIsTakenForOneOfData) {
  aead_ = &slow_opener;
  connect();
  watched.inlet = &inlets_.back()[0];
  carry("first");
  for (int i = 0; i < 20 && !watched.is_taken_for_data; ++i) {
    host_a->send("10.9.0.2", host_b->port(), "one");
    std::this_thread::sleep_for(slow_opener_takes / 3);
    host_a->send("10.9.0.2", host_b->port(), "and one while it is opened");
    EXPECT_EQ(host_b->receive(), "one");
    EXPECT_NE(host_b->receive(), "");
  }
  EXPECT_TRUE(watched.is_taken_for_data);
}

// Whether they are worth it is asked by the turns that move packets.
TEST_P(TunnelTest, TurnsWithPacketsAreCountedForTheLanes) {
  connect(plain(), {.count = 1});
  talk(*host_a, *host_b);
  const ShardStats stats = a.shard->stats();
  EXPECT_GT(stats.lanes.windows, 0U);
  EXPECT_LE(stats.lanes.windows * BusyMeter::turns_per_window, stats.turns);
}

TEST_P(TunnelTest, OrderIsKeptWithAnyNumberOfLanes) {
  constexpr std::uint32_t counts[] = {0, 1, 3};
  for (const std::uint32_t lanes : counts) {
    SetUp();  // a namespace of its own
    connect(Offloads{}, {.count = lanes, .bytes_min = 2000, .only_when_busy = false});
    host_a->send("10.9.0.2", host_b->port(), "first");
    ASSERT_EQ(host_b->receive(), "first");
    expect_order(*host_a, *host_b, 12'000);
    const ShardStats sent = a.shard->stats();
    const ShardStats received = b.shard->stats();
    EXPECT_EQ(sent.lanes.batches > 0, lanes > 0);
    EXPECT_EQ(received.lanes.batches > 0, lanes > 0);
    EXPECT_EQ(sent.engine.super_packets_read > 0, working.has(Offload::tun_uso));
    EXPECT_EQ(received.drops[noise::Drop::bad_tag], 0U);
    EXPECT_EQ(received.drops[noise::Drop::replayed], 0U);
    a.shard.reset();
    b.shard.reset();
  }
}

}  // namespace
}  // namespace wgring::tun::test
