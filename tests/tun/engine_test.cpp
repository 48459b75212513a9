// What every engine must do, on each engine.
#include <chrono>
#include <memory>
#include <thread>

#include "engine_rig.hpp"
#include "tun/engine/epoll_engine.hpp"
#include "tun/engine/uring_engine.hpp"

namespace wgring::tun::test {
namespace {

using namespace std::chrono_literals;

template <typename E>
class EngineTest : public EngineRig<E> {};
using Engines = ::testing::Types<EpollEngine, UringEngine>;

struct EngineNames {
  template <typename E>
  static std::string GetName(int) {
    return std::is_same_v<E, EpollEngine> ? "Epoll" : "Uring";
  }
};
TYPED_TEST_SUITE(EngineTest, Engines, EngineNames);

std::string numbered(std::uint32_t number, std::size_t bytes = 100) {
  std::string text = std::to_string(number) + ":";
  text.resize(bytes, static_cast<char>('a' + number % 26));
  return text;
}

// --- UDP in ---

TYPED_TEST(EngineTest, ReceivesFromBothFamilies) {
  const Peer v4("127.0.0.1");
  const Peer v6("::1");
  v4.send("127.0.0.1", this->pair_.port(), "by v4");
  ASSERT_TRUE(this->turn_until([&] { return this->got_udp_.size() == 1; }));
  EXPECT_EQ(this->got_udp_.back(), "by v4");
  EXPECT_EQ(this->last_source_, to_loopback(noise::Family::v4, v4.port()));
  EXPECT_EQ(this->last_destination_.ip.family, noise::Family::v4);
  v6.send("::1", this->pair_.port(), "by v6");
  ASSERT_TRUE(this->turn_until([&] { return this->got_udp_.size() == 2; }));
  EXPECT_EQ(this->got_udp_.back(), "by v6");
  EXPECT_EQ(this->last_source_, to_loopback(noise::Family::v6, v6.port()));
  EXPECT_EQ(this->engine_->counters().udp_received, 2U);
}

TYPED_TEST(EngineTest, ReceivesTenThousandDatagramsInOrder) {
  const Peer peer("127.0.0.1");
  std::thread sender([&] {
    for (std::uint32_t i = 0; i < 10'000; ++i) {
      peer.send("127.0.0.1", this->pair_.port(), numbered(i, 20 + i % 1400));
      if (i % 500 == 0) {
        std::this_thread::sleep_for(1ms);
      }
    }
  });
  const bool all = this->turn_until([&] { return this->got_udp_.size() == 10'000; });
  sender.join();
  ASSERT_TRUE(all) << this->got_udp_.size();
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    ASSERT_EQ(this->got_udp_[i], numbered(i, 20 + i % 1400));
  }
}

TYPED_TEST(EngineTest, ReceivesTheLongestAndTheEmptyDatagram) {
  const Peer peer("127.0.0.1");
  peer.send("127.0.0.1", this->pair_.port(), std::string(65'507, 'L'));
  peer.send("127.0.0.1", this->pair_.port(), "");
  peer.send("127.0.0.1", this->pair_.port(), "after");
  ASSERT_TRUE(this->turn_until([&] { return this->got_udp_.size() == 3; }));
  EXPECT_EQ(this->got_udp_[0], std::string(65'507, 'L'));
  EXPECT_EQ(this->got_udp_[1], "");
  EXPECT_EQ(this->got_udp_[2], "after");
}

TYPED_TEST(EngineTest, BothFamiliesAreServedUnderLoad) {
  const Peer v4("127.0.0.1");
  const Peer v6("::1");
  for (std::uint32_t i = 0; i < 400; ++i) {
    v4.send("127.0.0.1", this->pair_.port(), "4");
  }
  v6.send("::1", this->pair_.port(), "6");
  // One that waits behind four hundred of the other family comes after a batch or two.
  for (int i = 0; i < 4; ++i) {
    this->turn();
  }
  EXPECT_NE(std::find(this->got_udp_.begin(), this->got_udp_.end(), "6"), this->got_udp_.end());
  EXPECT_TRUE(this->turn_until([&] { return this->got_udp_.size() == 401; }));
}

TYPED_TEST(EngineTest, WithoutSlotsDatagramsAreDroppedAndCounted) {
  this->turn();  // the engine has its own slots by now
  std::vector<Slot> hoard;
  while (Slot slot = this->pools_.trains().take()) {
    hoard.push_back(std::move(slot));
  }
  const Peer peer("127.0.0.1");
  for (std::uint32_t i = 0; i < 100; ++i) {
    peer.send("127.0.0.1", this->pair_.port(), numbered(i));
  }
  // The inbox of each turn is kept from the pool.
  const auto keep = [&] {
    for (noise::Wild& wild : this->inbox_.wilds) {
      hoard.push_back(std::move(wild.slot));
    }
    const EngineCounters& counters = this->engine_->counters();
    return counters.udp_received + counters.udp_no_buffer == 100;
  };
  EXPECT_TRUE(this->turn_until(keep));
  EXPECT_GT(this->engine_->counters().udp_no_buffer, 50U);
  hoard.clear();
  this->got_udp_.clear();
  peer.send("127.0.0.1", this->pair_.port(), "again");
  // A receive that was armed without a slot may cost one more.
  peer.send("127.0.0.1", this->pair_.port(), "again");
  EXPECT_TRUE(this->turn_until([&] { return !this->got_udp_.empty(); }));
}

// --- UDP out ---

TYPED_TEST(EngineTest, ATrainLeavesAsItsDatagramsInOrder) {
  for (const char* const address : {"127.0.0.1", "::1"}) {
    const Peer peer(address);
    const noise::Family family = address[0] == '1' ? noise::Family::v4 : noise::Family::v6;
    std::vector<std::string> segments;
    for (std::uint32_t i = 0; i < 63; ++i) {
      segments.push_back(numbered(i, 1000));
    }
    segments.push_back(numbered(63, 7));  // the last may be shorter
    this->add_train({.remote = to_loopback(family, peer.port()), .source = {}}, segments,
                    this->pools_.trains());
    this->engine_->submit(this->outbox_);
    EXPECT_TRUE(this->outbox_.empty());
    for (const std::string& segment : segments) {
      ASSERT_EQ(peer.receive(), segment);
    }
  }
  EXPECT_EQ(this->engine_->counters().udp_sent, 128U);
}

TYPED_TEST(EngineTest, SendsTenThousandDatagramsInOrder) {
  const Peer peer("127.0.0.1");
  const noise::SocketAddress to = to_loopback(noise::Family::v4, peer.port());
  std::uint32_t next = 0;
  std::uint32_t expected = 0;
  while (next < 10'000) {
    // Trains of every length, single packets between them.
    for (std::uint32_t count = 1; count <= 8 && next < 10'000; ++count) {
      std::vector<std::string> segments;
      for (std::uint32_t i = 0; i < count * 5 && next < 10'000; ++i) {
        segments.push_back(numbered(next++));
      }
      this->add_train({.remote = to, .source = {}}, segments, this->pools_.trains());
    }
    this->engine_->submit(this->outbox_);
    this->turn(0ms);
    for (; expected < next; ++expected) {
      ASSERT_EQ(peer.receive(), numbered(expected));
    }
  }
  EXPECT_EQ(this->engine_->counters().udp_sent, 10'000U);
}

TYPED_TEST(EngineTest, TheSourceIsTheOneAskedFor) {
  const Peer peer("127.0.0.1");
  noise::Endpoint endpoint{.remote = to_loopback(noise::Family::v4, peer.port()), .source = {}};
  endpoint.source.ip = {.family = noise::Family::v4, .bytes = {127, 0, 0, 9}};
  this->add_train(endpoint, {"hello"}, this->pools_.packets());
  this->engine_->submit(this->outbox_);
  std::array<char, 16> text{};
  sockaddr_in from{};
  socklen_t bytes = sizeof from;
  ASSERT_EQ(::recvfrom(peer.fd(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&from),
                       &bytes),
            5);
  EXPECT_EQ(from.sin_addr.s_addr, htonl(0x7f000009));
  EXPECT_FALSE(this->refused_);
}

TYPED_TEST(EngineTest, AStaleSourceIsGivenUpAndReported) {
  const Peer peer("127.0.0.1");
  noise::Endpoint endpoint{.remote = to_loopback(noise::Family::v4, peer.port()), .source = {}};
  endpoint.source.ip = {.family = noise::Family::v4, .bytes = {192, 0, 2, 77}};
  endpoint.source.interface_index = 99;
  this->add_datagram(to_loopback(noise::Family::v4, peer.port()), "before");
  this->add_train(endpoint, {"1", "2", "3"}, this->pools_.trains());
  this->add_datagram(to_loopback(noise::Family::v4, peer.port()), "after");
  this->engine_->submit(this->outbox_);
  this->turn();
  for (const char* const text : {"before", "1", "2", "3", "after"}) {
    EXPECT_EQ(peer.receive(), text);
  }
  EXPECT_TRUE(this->refused_);
  EXPECT_EQ(this->engine_->counters().sources_refused, 1U);
  EXPECT_EQ(this->engine_->counters().send_errors.sum(), 0U);
}

TYPED_TEST(EngineTest, RefusedDatagramsAreCountedAndOthersGoOn) {
  const Peer peer("127.0.0.1");
  const noise::SocketAddress good = to_loopback(noise::Family::v4, peer.port());
  this->add_datagram(good, "1");
  this->add_datagram(to_v4({198, 51, 100, 1}, 9), "no route");
  this->add_datagram(good, "2");
  this->add_datagram(to_v4({127, 0, 0, 1}, 0), "port zero");
  this->add_datagram(to_v4({255, 255, 255, 255}, 9), "broadcast is not permitted");
  this->add_train({.remote = to_v4({198, 51, 100, 1}, 9), .source = {}}, {"a", "b", "c"},
                  this->pools_.trains());
  this->add_datagram(good, "3");
  this->engine_->submit(this->outbox_);
  this->turn();
  for (const char* const text : {"1", "2", "3"}) {
    EXPECT_EQ(peer.receive(), text);
  }
  const EngineCounters& counters = this->engine_->counters();
  EXPECT_GE(counters.send_errors[IoError::network_unreachable], 4U);
  EXPECT_EQ(counters.send_errors[IoError::invalid], 1U);
  EXPECT_EQ(counters.send_errors.sum(), 6U);
  EXPECT_EQ(counters.udp_sent, 3U);
  EXPECT_FALSE(this->fatal_);
}

TYPED_TEST(EngineTest, ASlowSocketMakesABacklogThatKeepsOrder) {
  this->run("tc qdisc add dev lo root tbf rate 80mbit burst 20000 limit 10000000");
  int small = 4096;
  ASSERT_EQ(::setsockopt(this->pair_.v4(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
  const Peer peer("127.0.0.1");
  const noise::SocketAddress to = to_loopback(noise::Family::v4, peer.port());
  std::vector<std::string> sent;
  for (std::uint32_t train = 0; train < SendQueue::trains_max; ++train) {
    std::vector<std::string> segments;
    for (std::uint32_t i = 0; i < 8; ++i) {
      sent.push_back(numbered(train * 8 + i, 1000));
      segments.push_back(sent.back());
    }
    this->add_train({.remote = to, .source = {}}, segments, this->pools_.trains());
  }
  this->engine_->submit(this->outbox_);
  EXPECT_LT(this->engine_->counters().udp_sent, sent.size());
  std::vector<std::string> received;
  EXPECT_TRUE(this->turn_until([&] {
    for (std::string text = peer.receive(0); !text.empty(); text = peer.receive(0)) {
      received.push_back(std::move(text));
    }
    return received.size() == sent.size();
  })) << received.size();
  EXPECT_EQ(received, sent);
  EXPECT_GT(this->engine_->counters().send_waits, 0U);
  EXPECT_EQ(this->engine_->counters().udp_backlog_full, 0U);
}

TYPED_TEST(EngineTest, BeyondTheBacklogDatagramsAreDroppedAndCounted) {
  this->run("tc qdisc add dev lo root tbf rate 8kbit burst 2000 limit 10000000");
  int small = 4096;
  ASSERT_EQ(::setsockopt(this->pair_.v4(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
  const Peer peer("127.0.0.1");
  constexpr std::size_t total = 300;
  for (std::uint32_t i = 0; i < total; ++i) {
    this->add_datagram(to_loopback(noise::Family::v4, peer.port()), numbered(i, 500));
    if (this->outbox_.transmits.room() == 0 || i + 1 == total) {
      this->engine_->submit(this->outbox_);
      this->turn(0ms);
    }
  }
  const EngineCounters& counters = this->engine_->counters();
  EXPECT_EQ(counters.udp_sent + counters.udp_backlog_full + SendQueue::packets_max, total);
  // What is left goes with the sockets.
  this->engine_->set_sockets(nullptr);
  EXPECT_EQ(counters.udp_no_socket, SendQueue::packets_max);
}

TYPED_TEST(EngineTest, WithoutSocketsDatagramsAreDroppedAndCounted) {
  this->turn();
  this->engine_->set_sockets(nullptr);
  this->add_train({.remote = to_loopback(noise::Family::v4, 9), .source = {}}, {"a", "b"},
                  this->pools_.trains());
  this->add_datagram(to_loopback(noise::Family::v6, 9), "c");
  this->engine_->submit(this->outbox_);
  EXPECT_EQ(this->engine_->counters().udp_no_socket, 3U);
  this->turn();
  EXPECT_FALSE(this->fatal_);
}

// --- sockets come and go ---

TYPED_TEST(EngineTest, SocketsAreReplacedWhileReceivesAreInFlight) {
  const Peer peer("127.0.0.1");
  for (std::uint32_t round = 0; round < 20; ++round) {
    this->turn(0ms);
    auto next = UdpPair::open(0, 0);
    ASSERT_TRUE(next);
    this->engine_->set_sockets(&*next);
    const std::uint16_t old_port = this->pair_.port();
    this->pair_ = std::move(*next);  // closes the old ones
    // Nothing holds the old port any more.
    EXPECT_TRUE(UdpPair::open(old_port, 0));
    this->got_udp_.clear();
    peer.send("127.0.0.1", this->pair_.port(), numbered(round));
    ASSERT_TRUE(this->turn_until([&] { return !this->got_udp_.empty(); }));
    EXPECT_EQ(this->got_udp_.back(), numbered(round));
    this->add_datagram(to_loopback(noise::Family::v4, peer.port()), "answer");
    this->engine_->submit(this->outbox_);
    EXPECT_EQ(peer.receive(), "answer");
  }
}

TYPED_TEST(EngineTest, ABacklogLeavesByTheNewSockets) {
  this->run("tc qdisc add dev lo root tbf rate 80mbit burst 20000 limit 10000000");
  int small = 4096;
  ASSERT_EQ(::setsockopt(this->pair_.v4(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
  const Peer peer("127.0.0.1");
  std::vector<std::string> sent;
  for (std::uint32_t i = 0; i < 100; ++i) {
    sent.push_back(numbered(i, 1000));
    this->add_datagram(to_loopback(noise::Family::v4, peer.port()), sent.back());
  }
  this->engine_->submit(this->outbox_);
  ASSERT_GT(this->engine_->counters().send_waits, 0U);
  auto next = UdpPair::open(0, 0);
  ASSERT_TRUE(next);
  this->engine_->set_sockets(&*next);
  this->pair_ = std::move(*next);
  std::vector<std::string> received;
  EXPECT_TRUE(this->turn_until([&] {
    for (std::string text = peer.receive(0); !text.empty(); text = peer.receive(0)) {
      received.push_back(std::move(text));
    }
    return received.size() == sent.size();
  })) << received.size();
  EXPECT_EQ(received, sent);
}

// --- TUN ---

TYPED_TEST(EngineTest, ReadsInnerPacketsInOrder) {
  const Peer host("10.9.0.1");
  constexpr std::uint32_t total = 3000;
  std::thread sender([&] {
    for (std::uint32_t i = 0; i < total; ++i) {
      host.send("10.9.0.2", 9, numbered(i, 20 + i % 1300));
      if (i % 50 == 0) {
        std::this_thread::sleep_for(1ms);  // the queue of a TUN is 500 packets
      }
    }
  });
  const bool all = this->turn_until([&] { return this->got_tun_.size() == total; });
  sender.join();
  ASSERT_TRUE(all) << this->got_tun_.size();
  for (std::uint32_t i = 0; i < total; ++i) {
    ASSERT_EQ(this->got_tun_[i].substr(28), numbered(i, 20 + i % 1300));
  }
  EXPECT_EQ(this->engine_->counters().tun_read, total);
}

TYPED_TEST(EngineTest, ReadsTheLongestPackets) {
  ASSERT_TRUE(this->device_.set_mtu(65'535));
  const Peer host("10.9.0.1");
  for (std::uint32_t i = 0; i < 40; ++i) {
    host.send("10.9.0.2", 9, numbered(i, 65'507));
  }
  ASSERT_TRUE(this->turn_until([&] { return this->got_tun_.size() == 40; }));
  for (std::uint32_t i = 0; i < 40; ++i) {
    ASSERT_EQ(this->got_tun_[i].size(), 65'535U);
    EXPECT_EQ(this->got_tun_[i].substr(28), numbered(i, 65'507));
  }
}

TYPED_TEST(EngineTest, DeliversRunsInOrder) {
  const Peer host("10.9.0.1");
  std::uint32_t next = 0;
  for (int turns = 0; turns < 100; ++turns) {
    for (int runs = 0; runs < 8; ++runs) {
      std::vector<std::vector<std::uint8_t>> packets;
      for (int i = 0; i < 1 + runs * 3; ++i) {
        packets.push_back(inner_udp(host.port(), numbered(next++)));
      }
      this->add_delivers(packets);
    }
    this->engine_->submit(this->outbox_);
    EXPECT_TRUE(this->outbox_.empty());
    this->turn(0ms);
  }
  for (std::uint32_t i = 0; i < next; ++i) {
    ASSERT_EQ(host.receive(), numbered(i));
  }
  this->turn(0ms);
  EXPECT_EQ(this->engine_->counters().tun_written, next);
}

TYPED_TEST(EngineTest, AnOutboxFullOfPacketsFits) {
  const Peer host("10.9.0.1");
  std::uint32_t next = 0;
  for (std::size_t run = 0; run < noise::wild_batch_max; ++run) {
    std::vector<std::vector<std::uint8_t>> packets;
    for (std::size_t i = 0; i < noise::train_segments_max; ++i) {
      packets.push_back(inner_udp(host.port(), numbered(next++, 50)));
    }
    this->add_delivers(packets);
  }
  this->engine_->submit(this->outbox_);
  for (std::uint32_t i = 0; i < next; ++i) {
    ASSERT_EQ(host.receive(), numbered(i, 50));
  }
}

TYPED_TEST(EngineTest, PacketsThatTunRefusesAreCountedAndOthersGoOn) {
  const Peer host("10.9.0.1");
  std::vector<std::uint8_t> nonsense(40, 0x00);  // neither IPv4 nor IPv6
  this->add_delivers({inner_udp(host.port(), "1"), nonsense, inner_udp(host.port(), "2")});
  this->engine_->submit(this->outbox_);
  EXPECT_EQ(host.receive(), "1");
  EXPECT_EQ(host.receive(), "2");
  this->turn(0ms);
  EXPECT_EQ(this->engine_->counters().tun_errors[IoError::invalid], 1U);
  EXPECT_FALSE(this->gone_);
}

TYPED_TEST(EngineTest, ALinkThatIsDownLosesPacketsAndComesBack) {
  const Peer host("10.9.0.1");
  this->set_up("wgt0", false);
  this->turn();
  this->add_delivers({inner_udp(host.port(), "lost")});
  this->engine_->submit(this->outbox_);
  this->turn();
  EXPECT_EQ(this->engine_->counters().tun_errors[IoError::io], 1U);
  EXPECT_FALSE(this->gone_);
  this->set_up("wgt0", true);
  this->add_delivers({inner_udp(host.port(), "kept")});
  this->engine_->submit(this->outbox_);
  EXPECT_EQ(host.receive(), "kept");
  host.send("10.9.0.2", 9, "out");
  EXPECT_TRUE(this->turn_until([&] { return !this->got_tun_.empty(); }));
}

TYPED_TEST(EngineTest, TheEndOfTheInterfaceIsToldOnce) {
  const Peer peer("127.0.0.1");
  this->turn();  // a read is waiting
  this->run("ip link delete wgt0");
  ASSERT_TRUE(this->turn_until([&] { return this->gone_; }, 100));
  this->gone_ = false;
  this->add_delivers({inner_udp(1, "too late")});
  this->engine_->submit(this->outbox_);
  for (int i = 0; i < 5; ++i) {
    this->turn(1ms);
  }
  EXPECT_FALSE(this->gone_);
  EXPECT_FALSE(this->fatal_);
  EXPECT_EQ(this->engine_->counters().tun_after_end, 1U);
  // It sleeps, and the sockets go on.
  this->engine_->arm();
  EXPECT_TRUE(this->engine_->may_sleep());
  peer.send("127.0.0.1", this->pair_.port(), "still here");
  EXPECT_TRUE(this->turn_until([&] { return !this->got_udp_.empty(); }));
}

TYPED_TEST(EngineTest, AWriteSeesTheEndOfTheInterfaceToo) {
  this->run("ip link delete wgt0");
  this->add_delivers({inner_udp(1, "too late"), inner_udp(1, "also")});
  this->engine_->submit(this->outbox_);
  EXPECT_TRUE(this->turn_until([&] { return this->gone_; }, 10));
  EXPECT_EQ(this->engine_->counters().tun_after_end, 2U);
}

// --- sleeping ---

TYPED_TEST(EngineTest, WaitEndsAtTheDeadlineAndNotBefore) {
  for (const Duration length : {Duration{1ms}, Duration{30ms}, Duration{5ms}}) {
    this->engine_->arm();
    ASSERT_TRUE(this->engine_->may_sleep());
    const Instant deadline = read_clock().boottime + length;
    Instant now{};
    do {  // an early return is harmless, but must be rare
      this->engine_->wait(deadline);
      this->engine_->reap(this->inbox_);
      this->inbox_.clear();
      this->engine_->arm();
      now = read_clock().boottime;
    } while (now < deadline && this->engine_->may_sleep());
    EXPECT_GE(now, deadline);
    EXPECT_LT(now, deadline + 2s);
  }
}

TYPED_TEST(EngineTest, AnIdleEngineSleepsThrough) {
  this->turn(1ms);
  this->engine_->arm();
  const Instant start = read_clock().boottime;
  this->engine_->wait(start + 60ms);
  EXPECT_GE(read_clock().boottime, start + 60ms);
}

TYPED_TEST(EngineTest, WakeEndsAWaitWithoutDeadline) {
  for (int i = 0; i < 50; ++i) {
    std::thread waker([&] {
      std::this_thread::sleep_for(std::chrono::microseconds{i * 20});
      this->wake_.wake();
    });
    this->woken_ = false;
    while (!this->woken_) {
      this->engine_->arm();
      if (this->engine_->may_sleep()) {
        this->engine_->wait(never);
      }
      this->engine_->reap(this->inbox_);
      this->woken_ = this->inbox_.notes.woken;
      this->inbox_.clear();
    }
    waker.join();
  }
}

TYPED_TEST(EngineTest, AWaitEndsWhenPacketsCome) {
  const Peer peer("127.0.0.1");
  const Peer host("10.9.0.1");
  this->engine_->arm();
  std::thread later([&] {
    std::this_thread::sleep_for(20ms);
    peer.send("127.0.0.1", this->pair_.port(), "x");
  });
  this->engine_->wait(never);
  later.join();
  EXPECT_TRUE(this->turn_until([&] { return this->got_udp_.size() == 1; }));
  this->engine_->arm();
  std::thread again([&] {
    std::this_thread::sleep_for(20ms);
    host.send("10.9.0.2", 9, "y");
  });
  this->engine_->wait(never);
  again.join();
  EXPECT_TRUE(this->turn_until([&] { return this->got_tun_.size() == 1; }));
}

// --- both ways at once ---

TYPED_TEST(EngineTest, BothDirectionsAtOnceKeepOrder) {
  const Peer peer("127.0.0.1");
  const Peer host("10.9.0.1");
  const noise::SocketAddress to = to_loopback(noise::Family::v4, peer.port());
  constexpr std::uint32_t total = 2000;
  std::atomic<std::uint32_t> allowed{100};
  std::thread sender([&] {
    for (std::uint32_t i = 0; i < total; ++i) {
      while (i >= allowed.load()) {
        std::this_thread::yield();
      }
      peer.send("127.0.0.1", this->pair_.port(), numbered(i));
      host.send("10.9.0.2", 9, numbered(i));
    }
  });
  // What comes from UDP goes to TUN and the other way round.
  std::size_t udp_done = 0;
  std::size_t tun_done = 0;
  const bool all = this->turn_until([&] {
    for (; udp_done < this->got_udp_.size() && this->outbox_.delivers.room() > 0; ++udp_done) {
      this->add_delivers({inner_udp(host.port(), this->got_udp_[udp_done])});
    }
    for (; tun_done < this->got_tun_.size() && this->outbox_.transmits.room() > 0; ++tun_done) {
      this->add_datagram(to, this->got_tun_[tun_done].substr(28));
    }
    if (!this->outbox_.empty()) {
      this->engine_->submit(this->outbox_);
    }
    allowed = static_cast<std::uint32_t>(std::min(udp_done, tun_done)) + 100;
    return udp_done == total && tun_done == total;
  });
  sender.join();
  ASSERT_TRUE(all) << udp_done << " " << tun_done;
  for (std::uint32_t i = 0; i < total; ++i) {
    ASSERT_EQ(host.receive(), numbered(i));
    ASSERT_EQ(peer.receive(), numbered(i));
  }
}

TYPED_TEST(EngineTest, EndingInTheMiddleReturnsEverySlot) {
  this->run("tc qdisc add dev lo root tbf rate 8kbit burst 2000 limit 10000000");
  int small = 4096;
  ASSERT_EQ(::setsockopt(this->pair_.v4(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
  const Peer peer("127.0.0.1");
  for (std::uint32_t i = 0; i < 20; ++i) {
    this->add_train({.remote = to_loopback(noise::Family::v4, peer.port()), .source = {}},
                    {numbered(i), numbered(i), numbered(i)}, this->pools_.trains());
  }
  this->add_delivers({inner_udp(1, "x")});
  this->engine_->submit(this->outbox_);
  this->engine_->arm();
  // TearDown ends the engine and counts slots.
}

}  // namespace
}  // namespace wgring::tun::test
