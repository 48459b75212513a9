// The shard with the real core: its thread, its tasks, and two of them that talk.
#include "tun/shard.hpp"

#include <chrono>
#include <thread>
#include <vector>

#include <fcntl.h>

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

  std::unique_ptr<Shard> start(const TunDevice& device) {
    auto shard = Shard::start({.tun_fd = device.fd(),
                               .engine = GetParam(),
                               .aead = &crypto::aead_boringssl(),
                               .memory = memory_.source(),
                               .entropy = system_entropy()});
    EXPECT_TRUE(shard) << shard.error().what;
    return shard ? std::move(*shard) : nullptr;
  }
  static TunDevice make_tun(const char* name) {
    auto device = create_plain(name);
    EXPECT_TRUE(device);
    return device ? std::move(*device) : TunDevice{};
  }

  SystemMemory memory_;
};

INSTANTIATE_TEST_SUITE_P(Engines, ShardTest,
                         ::testing::Values(EngineKind::epoll, EngineKind::uring),
                         [](const auto& at) { return std::string{engine_name(at.param)}; });

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
  ASSERT_TRUE(is_readable(shard->notify_fd(), 2000));
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
  ASSERT_TRUE(is_readable(shard->notify_fd(), 2000));
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
                                   .entropy = system_entropy()});
  if (!shard) {
    EXPECT_EQ(shard.error().errno_value, EBADF);
    return;
  }
  // A ring says so with its first read.
  ASSERT_TRUE(is_readable((*shard)->notify_fd(), 2000));
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

TEST_P(ShardTest, TwoShardsCarryPacketsBothWays) {
  End a;
  End b;
  a.device = make_tun("wgta");
  set_address("wgta", "10.9.0.1");
  auto pair = UdpPair::open(0, 0);
  ASSERT_TRUE(pair);
  a.pair = std::move(*pair);
  pair = UdpPair::open(0, 0);
  ASSERT_TRUE(pair);
  b.pair = std::move(*pair);
  // The inner side of b is another host.
  std::unique_ptr<Peer> host_b;
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    b.device = make_tun("wgtb");
    set_address("wgtb", "10.9.0.2");
    host_b = std::make_unique<Peer>("10.9.0.2");
  }).join();
  ASSERT_TRUE(host_b);
  a.shard = start(a.device);
  b.shard = start(b.device);
  ASSERT_TRUE(a.shard && b.shard);
  configure(a, 1, 2, b.pair.port());
  configure(b, 2, 1, 0);

  const Peer host_a("10.9.0.1");
  host_a.send("10.9.0.2", host_b->port(), "first, and it waits for the handshake");
  ASSERT_EQ(host_b->receive(5000), "first, and it waits for the handshake");
  talk(host_a, *host_b);

  // What happened was told.
  ASSERT_TRUE(is_readable(a.shard->notify_fd(), 1000));
  Notices notices = a.shard->take_notices();
  EXPECT_GT(notices.events.size(), 0U);
  EXPECT_EQ(notices.events_lost, 0U);
  const ShardStats stats = a.shard->stats();
  EXPECT_EQ(stats.engine.send_errors.sum(), 0U);
  EXPECT_GE(stats.engine.tun_read, 2501U);
  EXPECT_GE(stats.engine.tun_written, 500U);

  // A new port for a: the session goes on, b follows.
  pair = UdpPair::open(0, 0);
  ASSERT_TRUE(pair);
  a.shard->call([&](ShardContext& context) { context.set_sockets(&*pair); });
  a.pair = std::move(*pair);
  a.shard->call([&](ShardContext& context) { context.set_sockets(&a.pair); });
  host_a.send("10.9.0.2", host_b->port(), "from the new port");
  ASSERT_EQ(host_b->receive(), "from the new port");
  host_b->send("10.9.0.1", host_a.port(), "to the new port");
  ASSERT_EQ(host_a.receive(), "to the new port");

  // Ending with sockets, keys and reads in place.
  a.shard.reset();
  b.shard.reset();
}

}  // namespace
}  // namespace wgring::tun::test
