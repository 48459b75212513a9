// What every engine must do with TUN, with sleep, and at its end, on each engine.
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "engine_rig.hpp"
#include "signals.hpp"

namespace wgring::tun::test {
namespace {

using namespace std::chrono_literals;

template <typename E>
class EngineTunTest : public EngineRig<E> {
 protected:
  static constexpr std::uint32_t carried = 2000;

  // As many packets from each side to the other.
  void carry_both_ways(const Peer& peer, const Peer& host) {
    const noise::SocketAddress to = to_loopback(noise::Family::v4, peer.port());
    std::atomic<std::uint32_t> allowed{100};
    std::thread sender([&] {
      for (std::uint32_t i = 0; i < carried; ++i) {
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
        this->submit();
      }
      allowed = static_cast<std::uint32_t>(std::min(udp_done, tun_done)) + 100;
      return udp_done == carried && tun_done == carried;
    });
    allowed = carried;  // where something was lost, the sender would wait for ever
    sender.join();
    ASSERT_TRUE(all) << udp_done << " " << tun_done;
  }
  static void expect_carried(const Peer& peer, const Peer& host) {
    for (std::uint32_t i = 0; i < carried; ++i) {
      ASSERT_EQ(host.receive(), numbered(i));
      ASSERT_EQ(peer.receive(), numbered(i));
    }
  }
};
TYPED_TEST_SUITE(EngineTunTest, Engines, EngineNames);

// --- TUN ---

TYPED_TEST(EngineTunTest, ReadsInnerPacketsInOrder) {
  const Peer host("10.9.0.1");
  constexpr std::uint32_t total = 3000;
  std::atomic<std::size_t> received{0};
  std::thread sender([&] {
    for (std::uint32_t i = 0; i < total; ++i) {
      host.send("10.9.0.2", 9, numbered(i, 20 + i % 1300));
      // The queue of a TUN is 500 packets, however slow the receiver is.
      for (int pauses = 0; i > received + 400 && pauses < 20'000; ++pauses) {
        std::this_thread::sleep_for(1ms);
      }
    }
  });
  const bool all = this->turn_until([&] {
    received = this->got_tun_.size();
    return received == total;
  });
  sender.join();
  ASSERT_TRUE(all) << this->got_tun_.size();
  for (std::uint32_t i = 0; i < total; ++i) {
    ASSERT_EQ(this->got_tun_[i].substr(28), numbered(i, 20 + i % 1300));
  }
  EXPECT_EQ(this->engine_->counters().tun_read, total);
}

// fault: DF-0315
TYPED_TEST(EngineTunTest, APacketOfOneByteIsReadAsOne) {  // what the core refuses
  this->expect_packets_of_few_bytes();
  EXPECT_FALSE(this->gone_);
}

// fault: freebsd-import
TYPED_TEST(EngineTunTest, ReadsTheLongestPackets) {
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

TYPED_TEST(EngineTunTest, DeliversRunsInOrder) {
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
    this->submit();
    EXPECT_TRUE(this->outbox_.empty());
    this->turn(0ms);
  }
  for (std::uint32_t i = 0; i < next; ++i) {
    ASSERT_EQ(host.receive(), numbered(i));
  }
  this->turn(0ms);
  EXPECT_EQ(this->engine_->counters().tun_written, next);
}

TYPED_TEST(EngineTunTest, AnOutboxFullOfPacketsFits) {
  const Peer host("10.9.0.1");
  std::uint32_t next = 0;
  for (std::size_t run = 0; run < noise::wild_batch_max; ++run) {
    std::vector<std::vector<std::uint8_t>> packets;
    for (std::size_t i = 0; i < noise::train_segments_max; ++i) {
      packets.push_back(inner_udp(host.port(), numbered(next++, 50)));
    }
    this->add_delivers(packets);
  }
  this->submit();
  for (std::uint32_t i = 0; i < next; ++i) {
    ASSERT_EQ(host.receive(), numbered(i, 50));
  }
}

TYPED_TEST(EngineTunTest, PacketsThatTunRefusesAreCountedAndOthersGoOn) {
  const Peer host("10.9.0.1");
  std::vector<std::uint8_t> nonsense(40, 0x00);  // neither IPv4 nor IPv6
  this->add_delivers({inner_udp(host.port(), "1"), nonsense, inner_udp(host.port(), "2")});
  this->submit();
  EXPECT_EQ(host.receive(), "1");
  EXPECT_EQ(host.receive(), "2");
  this->turn(0ms);
  EXPECT_EQ(this->engine_->counters().tun_errors[IoError::invalid], 1U);
  EXPECT_FALSE(this->gone_);
}

TYPED_TEST(EngineTunTest, ALonePacketThatTunRefusesIsCounted) {
  this->turn(1ms);
  this->add_delivers({std::vector<std::uint8_t>(40, 0x00)});
  this->submit();
  EXPECT_EQ(this->engine_->counters().tun_errors[IoError::invalid], 1U);
  EXPECT_EQ(this->engine_->counters().tun_written, 0U);
}

TYPED_TEST(EngineTunTest, PacketsOfSeveralOutboxesKeepOrderInAQuietTurn) {
  const Peer host("10.9.0.1");
  this->turn(1ms);
  for (const char* const text : {"1", "2", "3"}) {
    this->add_delivers({inner_udp(host.port(), text)});
    this->engine_->submit(this->outbox_);
  }
  this->turn(1ms);
  for (const char* const text : {"1", "2", "3"}) {
    EXPECT_EQ(host.receive(), text);
  }
  EXPECT_EQ(this->engine_->counters().tun_written, 3U);
}

TYPED_TEST(EngineTunTest, ALinkThatIsDownLosesPacketsAndComesBack) {
  const Peer host("10.9.0.1");
  this->set_up("wgt0", false);
  this->turn();
  this->add_delivers({inner_udp(host.port(), "lost")});
  this->submit();
  this->turn();
  EXPECT_EQ(this->engine_->counters().tun_errors[IoError::io], 1U);
  EXPECT_FALSE(this->gone_);
  this->set_up("wgt0", true);
  this->add_delivers({inner_udp(host.port(), "kept")});
  this->submit();
  EXPECT_EQ(host.receive(), "kept");
  host.send("10.9.0.2", 9, "out");
  EXPECT_TRUE(this->turn_until([&] { return !this->got_tun_.empty(); }));
}

TYPED_TEST(EngineTunTest, TheEndOfTheInterfaceIsToldOnce) {
  const Peer peer("127.0.0.1");
  this->turn();  // a read is waiting
  this->run("ip link delete wgt0");
  ASSERT_TRUE(this->turn_until([&] { return this->gone_; }, 100));
  this->gone_ = false;
  this->add_delivers({inner_udp(1, "too late")});
  this->submit();
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

TYPED_TEST(EngineTunTest, AWriteSeesTheEndOfTheInterfaceToo) {
  this->run("ip link delete wgt0");
  this->add_delivers({inner_udp(1, "too late"), inner_udp(1, "also")});
  this->submit();
  EXPECT_TRUE(this->turn_until([&] { return this->gone_; }, 10));
  EXPECT_EQ(this->engine_->counters().tun_after_end, 2U);
}

// --- sleeping ---

TYPED_TEST(EngineTunTest, WaitEndsAtTheDeadlineAndNotBefore) {
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

TYPED_TEST(EngineTunTest, AnIdleEngineSleepsThrough) {
  this->turn(1ms);
  this->engine_->arm();
  const Instant start = read_clock().boottime;
  this->engine_->wait(start + 60ms);
  EXPECT_GE(read_clock().boottime, start + 60ms);
}

// A deadline that came among the effects of a turn ended no wait; the next wait needs its own.
TYPED_TEST(EngineTunTest, ADeadlineThatPassesInATurnDoesNotTakeTheNext) {
  const Peer peer("127.0.0.1");
  const Peer host("10.9.0.1");
  this->turn(1ms);
  for (std::uint32_t i = 0; i < 4; ++i) {  // no quiet turn
    peer.send("127.0.0.1", this->pair_.port(), numbered(i));
  }
  this->engine_->arm();
  this->engine_->wait(read_clock().boottime + 20ms);
  this->collect();
  ASSERT_EQ(this->got_udp_.size(), 4U);
  std::this_thread::sleep_for(40ms);
  this->add_delivers({inner_udp(host.port(), "meanwhile")});
  this->engine_->submit(this->outbox_);
  std::atomic<bool> over{false};
  std::thread other([&] {  // where the next is lost, the test ends by a wake-up
    for (int i = 0; i < 500 && !over; ++i) {
      std::this_thread::sleep_for(10ms);
    }
    if (!over) {
      this->wake_.wake();
    }
  });
  this->engine_->arm();
  EXPECT_TRUE(this->engine_->may_sleep());
  this->engine_->wait(read_clock().boottime + 20ms);
  over = true;
  other.join();
  this->collect();
  EXPECT_FALSE(this->woken_);
}

TYPED_TEST(EngineTunTest, WakeEndsAWaitWithoutDeadline) {
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

TYPED_TEST(EngineTunTest, AWaitEndsWhenPacketsCome) {
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

// --- signals ---

TYPED_TEST(EngineTunTest, ASignalEndsAWaitAndIsNothingElse) {
  catch_signals();
  const Target self;
  this->turn(1ms);
  for (int i = 0; i < 20; ++i) {
    this->engine_->arm();
    ASSERT_TRUE(this->engine_->may_sleep());
    std::atomic<bool> over{false};
    std::thread other([&] {
      for (int tries = 0; tries < 1000 && !over; ++tries) {
        EXPECT_TRUE(self.wait_asleep());
        self.interrupt();
        std::this_thread::sleep_for(1ms);
      }
      if (!over) {
        this->wake_.wake();
      }
    });
    this->engine_->wait(read_clock().boottime + 1h);
    over = true;
    other.join();
    this->collect();
    EXPECT_TRUE(this->inbox_.wilds.empty() && this->inbox_.plains.empty());
    ASSERT_FALSE(this->inbox_.notes.any());
  }
  const Peer peer("127.0.0.1");
  peer.send("127.0.0.1", this->pair_.port(), "after");
  EXPECT_TRUE(this->turn_until([&] { return this->got_udp_.size() == 1; }));
}

TYPED_TEST(EngineTunTest, SignalsDoNotMoveTheDeadline) {
  catch_signals();
  const Target self;
  std::atomic<int> sent{0};
  std::atomic<bool> over{false};
  this->turn(1ms);
  const Instant deadline = read_clock().boottime + 100ms;
  std::thread other([&] {
    while (sent < 3 && !over && self.wait_asleep()) {
      sent += 1;
      self.interrupt();
      std::this_thread::sleep_for(5ms);
    }
    // Now it is the deadline that ends the wait; where that is lost, the test ends by a wake-up.
    for (int i = 0; i < 2000 && !over; ++i) {
      std::this_thread::sleep_for(10ms);
    }
    this->wake_.wake();
  });
  int waits = 0;
  do {
    this->engine_->arm();
    EXPECT_TRUE(this->engine_->may_sleep());
    this->engine_->wait(deadline);
    waits += 1;
    this->collect();
  } while (read_clock().boottime < deadline && !this->woken_);
  over = true;
  other.join();
  EXPECT_FALSE(this->woken_);
  EXPECT_FALSE(this->fatal_);
  EXPECT_LE(waits, sent + 1) << "a wait ended for no reason";
}

TYPED_TEST(EngineTunTest, SignalsLoseNothingOfBothDirections) {
  const Peer peer("127.0.0.1");
  const Peer host("10.9.0.1");
  {
    const SignalStorm storm;
    this->carry_both_ways(peer, host);
  }
  this->expect_carried(peer, host);
  EXPECT_FALSE(this->fatal_);
}

// --- both ways at once ---

TYPED_TEST(EngineTunTest, BothDirectionsAtOnceKeepOrder) {
  const Peer peer("127.0.0.1");
  const Peer host("10.9.0.1");
  this->carry_both_ways(peer, host);
  this->expect_carried(peer, host);
}

// fault: vpp-memory, wireguard-go-pool
TYPED_TEST(EngineTunTest, EndingInTheMiddleReturnsEverySlot) {
  this->run("tc qdisc add dev lo root tbf rate 8kbit burst 2000 limit 10000000");
  int small = 4096;
  ASSERT_EQ(::setsockopt(this->pair_.v4(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
  const Peer peer("127.0.0.1");
  for (std::uint32_t i = 0; i < 20; ++i) {
    this->add_train({.remote = to_loopback(noise::Family::v4, peer.port()), .source = {}},
                    {numbered(i), numbered(i), numbered(i)}, this->pools_.trains());
  }
  this->add_delivers({inner_udp(1, "x")});
  this->submit();
  this->engine_->arm();
  // TearDown ends the engine and counts slots.
}

}  // namespace
}  // namespace wgring::tun::test
