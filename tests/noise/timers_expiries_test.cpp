// Protocol 14.3, a row a test: what each timer does when it fires.
#include <algorithm>

#include "tests/sim/pair.hpp"

namespace wgring::sim {
namespace {

using noise::EventKind;
using noise::Timer;
using testing::Contains;
using testing::ElementsAre;

class TimerExpiries : public Pair {
 protected:
  void keepalive_every(Host& on, Host& to, std::uint16_t seconds) {
    noise::PeerUpdate update;
    update.public_key = to.public_key();
    update.persistent_keepalive_s = seconds;
    world.apply(on, update);
  }
};

TEST_F(TimerExpiries, RetransmitTriesAgainAndForgetsTheSource) {
  cut();
  send(a, b);
  peer(a).endpoint.source.ip = b.v4.ip;
  EXPECT_EQ(peer(a).handshake_attempts, 0U);
  run_for(5s + jitter_max);
  EXPECT_EQ(count(a, 'I'), 2U);
  EXPECT_EQ(peer(a).handshake_attempts, 1U);
  EXPECT_EQ(peer(a).endpoint.source, noise::LocalSource{});
}

TEST_F(TimerExpiries, RetransmitGivesUpAfterEighteenAttempts) {
  cut();
  send(a, b, 3);
  while (count(a, 'I') < 20) {
    ASSERT_LT(world.elapsed(), 110s);
    run_for(100ms);
  }
  peer(a).timers.arm(Timer::send_keepalive, world.now() + 1000s);
  run_for(6s);
  EXPECT_EQ(count(a, 'I'), 20U);
  EXPECT_THAT(a.events, Contains(EventKind::handshake_gave_up));
  EXPECT_EQ(drops(a, noise::Drop::staged_abandoned), 3U);
  EXPECT_FALSE(pending(a, Timer::send_keepalive));
  EXPECT_FALSE(pending(a, Timer::retransmit_handshake));
  const Duration given_up = 540s - due_in(a, Timer::zero_key_material);
  EXPECT_THAT(given_up, IsWithin(0s, 1s + 100ms)) << "5 s after the last, which was seen late";
}

TEST_F(TimerExpiries, RetransmitGivingUpLeavesAPendingZeroKeysAlone) {
  establish();
  const Instant zero = peer(a).timers.at(Timer::zero_key_material);
  ASSERT_NE(zero, never);
  cut();
  send(a, b);
  run_for(130s);
  EXPECT_THAT(a.events, Contains(EventKind::handshake_gave_up));
  EXPECT_EQ(peer(a).timers.at(Timer::zero_key_material), zero);
}

TEST_F(TimerExpiries, KeepaliveExpirySendsOne) {
  establish();
  send(a, b);
  run_for(30s);
  EXPECT_EQ(wire(), "aD bK");
  EXPECT_FALSE(pending(b, Timer::send_keepalive));
}

TEST_F(TimerExpiries, KeepaliveExpiryWithNeedAnotherArmsOnce) {
  establish();
  send(a, b, 5);
  run_for(11s);
  EXPECT_EQ(count(b, 'K'), 1U);
  EXPECT_FALSE(peer(b).need_another_keepalive);
  EXPECT_TRUE(pending(b, Timer::send_keepalive));
  run_for(60s);
  EXPECT_EQ(count(b, 'K'), 2U);
}

TEST_F(TimerExpiries, NewHandshakeInitiatesAndForgetsTheSource) {
  establish();
  cut();
  send(a, b);
  ASSERT_EQ(peer(a).endpoint.source.ip, a.v4.ip) << "learnt from what b sent";
  peer(a).handshake_attempts = 7;
  run_for(15s + jitter_max);
  EXPECT_EQ(count(a, 'I'), 1U);
  EXPECT_EQ(peer(a).endpoint.source, noise::LocalSource{});
  EXPECT_EQ(peer(a).handshake_attempts, 0U) << "not a retry";
}

// fault: ts-tunnel
TEST_F(TimerExpiries, ZeroKeysClearsSlotAndAllKeypairs) {
  establish();
  run_for(115s);
  send(a, b);  // a second session: previous and current at both ends
  run_for(1s);
  EXPECT_EQ(noise::CoreTestAccess::keypair_count(a.device()), 2U);
  cut();
  run_for(190s);
  send(a, b);  // too old: an initiation that nobody answers
  run_for(540s - 190s - 1s);
  EXPECT_EQ(noise::CoreTestAccess::keypair_count(a.device()), 2U);
  EXPECT_NE(peer(a).handshake.state(), noise::HandshakeState::zeroed);
  run_for(10s);
  EXPECT_EQ(noise::CoreTestAccess::keypair_count(a.device()), 0U);
  EXPECT_EQ(noise::CoreTestAccess::index_count(a.device()), 0U);
  EXPECT_EQ(peer(a).handshake.state(), noise::HandshakeState::zeroed);
  EXPECT_THAT(a.events, Contains(EventKind::keys_zeroed));
  EXPECT_TRUE(is_idle(a));
  EXPECT_TRUE(is_idle(b));
}

TEST_F(TimerExpiries, ZeroKeysClearsAnUnconfirmedNextToo) {
  establish();
  run_for(115s);
  world.network.filter = [](const Datagram& datagram) { return !datagram.is_data(); };
  send(a, b);  // rekeys; what would confirm the new key is lost
  run_for(1s);
  ASSERT_EQ(wire(), "aD aI bR aK");
  cut();
  ASSERT_NE(peer(b).keypairs.next, noise::no_keypair);
  ASSERT_EQ(noise::CoreTestAccess::keypair_count(b.device()), 2U);
  run_for(540s - 2s);
  ASSERT_EQ(noise::CoreTestAccess::index_count(b.device()), 2U);
  run_for(2s);
  EXPECT_EQ(noise::CoreTestAccess::keypair_count(b.device()), 0U);
  EXPECT_EQ(noise::CoreTestAccess::index_count(b.device()), 0U);
  EXPECT_EQ(peer(b).keypairs.next, noise::no_keypair);
  EXPECT_TRUE(is_idle(b));
}

TEST_F(TimerExpiries, PersistentSendsAKeepaliveEachInterval) {
  establish();
  keepalive_every(a, b, 25);
  run_for(80s);
  EXPECT_THAT(times(a, 'K'), ElementsAre(0s, 25s, 50s, 75s));
  EXPECT_EQ(count(b, 'K'), 0U);
}

TEST_F(TimerExpiries, PersistentStartsAHandshakeWithoutAKey) {
  keepalive_every(a, b, 25);
  run_for(1s);
  EXPECT_EQ(wire(), "aI bR aK");
}

TEST_F(TimerExpiries, PersistentTurnedOffFiresIntoNothing) {
  establish();
  keepalive_every(a, b, 25);
  run_for(5s);
  keepalive_every(a, b, 0);
  forget();
  run_for(100s);
  EXPECT_EQ(wire(), "");
}

TEST_F(TimerExpiries, EarlyCallsDoNothing) {
  establish();
  send(a, b);
  const noise::Deadline before = a.device().next_deadline();
  for (int i = 0; i < 5; ++i) {
    run_for(1s);
    const std::uint64_t draws = a.entropy.draws;
    a.device().on_deadline(world.now_of(a), a.outbox);
    EXPECT_TRUE(a.outbox.empty());
    EXPECT_EQ(a.entropy.draws, draws);
  }
  EXPECT_EQ(a.device().next_deadline().at, before.at);
  EXPECT_EQ(wire(), "aD");
}

TEST_F(TimerExpiries, LateCallsDoTheWorkAtOnce) {
  cut();
  send(a, b);
  world.deadline_slack = 2s;
  run_for(30s);
  EXPECT_THAT(count(a, 'I'), testing::AllOf(testing::Ge(4U), testing::Le(5U)));
  world.deadline_slack = {};
}

TEST_F(TimerExpiries, NoTimerRunsWhileTheLinkIsDown) {
  keepalive_every(a, b, 25);
  run_for(1s);
  world.set_link(a, false);
  EXPECT_TRUE(is_idle(a));
  forget();
  run_for(1000s);
  EXPECT_EQ(count(a, 'K') + count(a, 'I'), 0U);
}

// Many peers, none with an endpoint: all that happens to them is their timers.
class ManyTimers : public PairOf {
 protected:
  ManyTimers() : PairOf(1) {
    for (std::uint32_t i = 0; i < 1000; ++i) {
      noise::PeerUpdate update;
      update.public_key[0] = 9;
      store_le32(update.public_key.data() + 4, i);
      world.apply(a, update);
      peers.push_back(&noise::CoreTestAccess::peer(a.device(), update.public_key));
    }
  }
  void arm(noise::Peer& one, Duration in) {
    noise::CoreTestAccess::arm(a.device(), one, Timer::zero_key_material, world.now() + in);
  }
  void turn() { world.send_raw(a, {}); }
  [[nodiscard]] std::ptrdiff_t settled() {
    return std::ranges::count_if(peers, [&](const noise::Peer* one) {
      return noise::CoreTestAccess::deadline(a.device(), *one) == one->timers.earliest();
    });
  }
  [[nodiscard]] std::ptrdiff_t waiting() const {
    return std::ranges::count_if(peers, [](const noise::Peer* one) {
      return one->timers.pending(Timer::zero_key_material);
    });
  }

  std::vector<noise::Peer*> peers;
};

TEST_F(ManyTimers, StaleOnesAreSettledSoManyATurnAndNoneIsLost) {
  constexpr std::ptrdiff_t peers_per_turn = 256;
  const Instant begin = world.now();
  for (std::size_t i = 0; i < peers.size(); ++i) {
    arm(*peers[i], 10s);
    if (i % 2 == 0) {
      peers[i]->timers.cancel(Timer::zero_key_material);
    } else {
      arm(*peers[i], 20s);
    }
  }
  ASSERT_EQ(settled(), 0);
  for (std::ptrdiff_t done = 0; done < 1000;) {
    EXPECT_EQ(a.device().next_deadline().at, begin + 10s) << "early is harmless";
    turn();
    done = std::min<std::ptrdiff_t>(done + peers_per_turn, 1000);
    ASSERT_EQ(settled(), done);
  }
  EXPECT_EQ(a.device().next_deadline().at, begin + 20s);
  run_for(20s - 1ns);
  EXPECT_EQ(waiting(), 500);
  run_for(1ns);
  EXPECT_EQ(waiting(), 0);
  EXPECT_TRUE(is_idle(a));
}

}  // namespace
}  // namespace wgring::sim
