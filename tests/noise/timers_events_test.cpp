// Protocol 14.2, a row a test: what each event does to the timers. Times are those of the wire
// where the wire shows them, and of the timers where it does not.
#include "tests/sim/pair.hpp"

namespace wgring::sim {
namespace {

using noise::Timer;
using testing::ElementsAre;

class TimerEvents : public Pair {
 protected:
  void keepalive_every(Host& on, Host& to, std::uint16_t seconds) {
    noise::PeerUpdate update;
    update.public_key = to.public_key();
    update.persistent_keepalive_s = seconds;
    world.apply(on, update);
  }
  [[nodiscard]] static std::vector<Slot> all_packet_slots(Host& of) {
    std::vector<Slot> slots;
    while (Slot slot = of.packets().take()) {
      slots.push_back(std::move(slot));
    }
    return slots;
  }
  void b_wants_keepalives_and_cannot_begin() {
    peer(b).endpoint.remote = {};
    keepalive_every(b, a, 25);
    ASSERT_EQ(wire(), "");
    ASSERT_FALSE(pending(b, Timer::persistent_keepalive));
  }
};

TEST_F(TimerEvents, DataSentArmsNewHandshakeOnce) {
  establish();
  cut();
  send(a, b);
  EXPECT_THAT(due_in(a, Timer::new_handshake), IsWithin(15s, 15s + jitter_max));
  const Instant armed = peer(a).timers.at(Timer::new_handshake);
  run_for(9s);
  send(a, b);
  EXPECT_EQ(peer(a).timers.at(Timer::new_handshake), armed);
  run_for(7s);
  EXPECT_THAT(times(a, 'I'), ElementsAre(IsWithin(15s, 15s + jitter_max)));
}

TEST_F(TimerEvents, KeepaliveSentDoesNotArmNewHandshake) {
  establish();
  cut();
  keepalive_every(a, b, 20);
  EXPECT_EQ(wire(), "aK");
  EXPECT_FALSE(pending(a, Timer::new_handshake));
}

TEST_F(TimerEvents, DataReceivedArmsKeepalive) {
  establish();
  send(a, b);
  run_for(latency);
  EXPECT_EQ(due_in(b, Timer::send_keepalive), 10s);
  run_for(25s);
  EXPECT_THAT(times(b, 'K'), ElementsAre(10s + latency));
}

TEST_F(TimerEvents, DataReceivedWhileKeepalivePendingAsksForAnother) {
  establish();
  send(a, b);
  run_for(4s);
  EXPECT_FALSE(peer(b).need_another_keepalive);
  send(a, b);
  run_for(40s);
  EXPECT_THAT(times(b, 'K'), ElementsAre(10s + latency, 20s + latency));
}

TEST_F(TimerEvents, KeepaliveReceivedArmsNoKeepalive) {
  establish();
  keepalive_every(a, b, 20);
  run_for(latency);
  EXPECT_FALSE(pending(b, Timer::send_keepalive));
}

TEST_F(TimerEvents, AnySentCancelsKeepaliveByData) {
  establish();
  send(a, b);
  run_for(latency);
  ASSERT_TRUE(pending(b, Timer::send_keepalive));
  send(b, a);
  EXPECT_FALSE(pending(b, Timer::send_keepalive));
}

TEST_F(TimerEvents, AnySentCancelsKeepaliveByKeepalive) {
  establish();
  send(a, b);
  run_for(latency);
  keepalive_every(b, a, 60);
  EXPECT_EQ(count(b, 'K'), 1U);
  EXPECT_FALSE(pending(b, Timer::send_keepalive));
}

TEST_F(TimerEvents, AnySentCancelsKeepaliveByInitiation) {
  establish();
  send(a, b);
  run_for(latency);
  ASSERT_TRUE(pending(b, Timer::send_keepalive));
  current(b)->sending_valid = false;
  send(b, a);
  EXPECT_EQ(count(b, 'I'), 1U);
  EXPECT_FALSE(pending(b, Timer::send_keepalive));
}

TEST_F(TimerEvents, AnySentCancelsKeepaliveByResponse) {
  establish();
  send(a, b);
  run_for(latency);
  ASSERT_TRUE(pending(b, Timer::send_keepalive));
  current(a)->sending_valid = false;
  cut_letter('K');
  send(a, b);
  world.network.filter = [](const Datagram& datagram) { return datagram.letter() == 'I'; };
  run_for(10ms);
  EXPECT_EQ(count(b, 'R'), 1U);
  EXPECT_FALSE(pending(b, Timer::send_keepalive));
}

TEST_F(TimerEvents, AnyReceivedCancelsNewHandshakeByData) {
  establish();
  send(a, b);
  ASSERT_TRUE(pending(a, Timer::new_handshake));
  send(b, a);
  run_for(latency);
  EXPECT_FALSE(pending(a, Timer::new_handshake));
}

TEST_F(TimerEvents, AnyReceivedCancelsNewHandshakeByKeepalive) {
  establish();
  send(a, b);
  keepalive_every(b, a, 60);
  run_for(latency);
  EXPECT_FALSE(pending(a, Timer::new_handshake));
}

TEST_F(TimerEvents, AnyReceivedCancelsNewHandshakeByInitiation) {
  establish();
  send(a, b);
  ASSERT_TRUE(pending(a, Timer::new_handshake));
  cut_from(a);
  current(b)->sending_valid = false;
  send(b, a);
  ASSERT_EQ(count(b, 'I'), 1U);
  run_for(latency);
  EXPECT_FALSE(pending(a, Timer::new_handshake));
}

TEST_F(TimerEvents, AnyReceivedCancelsNewHandshakeByResponse) {
  establish();
  send(a, b);
  ASSERT_TRUE(pending(a, Timer::new_handshake));
  world.network.filter = [](const Datagram& datagram) {
    return datagram.letter() == 'I' || datagram.letter() == 'R';
  };
  current(a)->birth -= 120s;  // data under the old key, then an initiation
  send(a, b);
  run_for(2 * latency);
  ASSERT_EQ(count(b, 'R'), 1U);
  // What is sent at once under the new key is a keepalive: it does not arm it again.
  EXPECT_FALSE(pending(a, Timer::new_handshake));
}

TEST_F(TimerEvents, UnauthenticatedReceiptCancelsNothing) {
  establish();
  send(a, b);
  send(b, a);
  Datagram forged = sent(b, 'D').front();
  cut();
  forged.bytes.back() ^= 1;
  world.receive(a, {&forged, 1});
  EXPECT_TRUE(pending(a, Timer::new_handshake));
  EXPECT_FALSE(pending(a, Timer::send_keepalive));
  run_for(15s + jitter_max);
}

TEST_F(TimerEvents, HandshakeInitiatedArmsRetransmit) {
  cut();
  send(a, b);
  EXPECT_THAT(due_in(a, Timer::retransmit_handshake), IsWithin(5s, 5s + jitter_max));
  run_for(5s + jitter_max);
  EXPECT_EQ(count(a, 'I'), 2U);
  EXPECT_THAT(due_in(a, Timer::retransmit_handshake), IsWithin(4s, 5s + jitter_max));
}

TEST_F(TimerEvents, HandshakeCompleteOfInitiatorIsTheResponse) {
  cut();
  send(a, b);
  run_for(17s);
  EXPECT_EQ(peer(a).handshake_attempts, 3U);
  heal();
  peer(a).sent_lastminute_handshake = true;
  run_for(6s);
  EXPECT_FALSE(pending(a, Timer::retransmit_handshake));
  EXPECT_EQ(peer(a).handshake_attempts, 0U);
  EXPECT_FALSE(peer(a).sent_lastminute_handshake);
  const Datagram response = sent(b, 'R').back();
  EXPECT_EQ(status(a).last_handshake.time_since_epoch(),
            World::wall_start + (response.at - World::start) + latency);
}

TEST_F(TimerEvents, HandshakeCompleteOfResponderIsTheFirstPacketUnderNext) {
  world.network.filter = [](const Datagram& datagram) { return !datagram.is_data(); };
  send(a, b);
  run_for(1s);
  EXPECT_EQ(wire(), "aI bR aD");
  EXPECT_EQ(status(b).last_handshake, WallTime{}) << "not confirmed yet";
  EXPECT_EQ(peer(b).keypairs.current, noise::no_keypair);
  // As if b had been asking too.
  peer(b).timers.arm(Timer::retransmit_handshake, world.now() + 1000s);
  peer(b).handshake_attempts = 3;
  peer(b).sent_lastminute_handshake = true;
  heal();
  send(a, b);
  run_for(latency);
  EXPECT_FALSE(pending(b, Timer::retransmit_handshake));
  EXPECT_EQ(peer(b).handshake_attempts, 0U);
  EXPECT_FALSE(peer(b).sent_lastminute_handshake);
  EXPECT_EQ(status(b).last_handshake.time_since_epoch(), World::wall_start + world.elapsed());
  EXPECT_NE(peer(b).keypairs.current, noise::no_keypair);
}

TEST_F(TimerEvents, SessionDerivedArmsZeroKeysAtBothEnds) {
  send(a, b);
  run_for(latency);
  EXPECT_EQ(due_in(b, Timer::zero_key_material), 540s) << "before the response is sent";
  run_for(latency);
  EXPECT_EQ(due_in(a, Timer::zero_key_material), 540s);
  run_for(130s);
  send(a, b);  // rekeys
  run_for(2 * latency);
  EXPECT_EQ(due_in(a, Timer::zero_key_material), 540s);
  EXPECT_EQ(due_in(b, Timer::zero_key_material), 540s - latency);
}

TEST_F(TimerEvents, TraversalBySendingArmsPersistent) {
  establish();
  keepalive_every(a, b, 25);
  run_for(5s);
  EXPECT_EQ(due_in(a, Timer::persistent_keepalive), 20s);
  send(a, b);
  EXPECT_EQ(due_in(a, Timer::persistent_keepalive), 25s);
}

TEST_F(TimerEvents, TraversalByReceivingArmsPersistent) {
  establish();
  keepalive_every(a, b, 25);
  run_for(5s);
  send(b, a);
  run_for(latency);
  EXPECT_EQ(due_in(a, Timer::persistent_keepalive), 25s);
}

TEST_F(TimerEvents, TraversalBySendingAnInitiationArmsPersistent) {
  keepalive_every(a, b, 25);  // there is no key: it initiates
  EXPECT_EQ(wire(), "aI");
  EXPECT_EQ(due_in(a, Timer::persistent_keepalive), 25s);
}

TEST_F(TimerEvents, TraversalByReceivingAnInitiationArmsPersistent) {
  b_wants_keepalives_and_cannot_begin();
  b.entropy.failing = true;  // and so it cannot answer: this is the receipt alone
  send(a, b);
  run_for(latency);
  ASSERT_EQ(wire(), "aI");
  ASSERT_EQ(drops(b, noise::Drop::no_entropy), 1U);
  EXPECT_EQ(due_in(b, Timer::persistent_keepalive), 25s);
  b.entropy.failing = false;
}

TEST_F(TimerEvents, TraversalBySendingAResponseArmsPersistent) {
  b_wants_keepalives_and_cannot_begin();
  send(a, b);
  run_for(latency);
  ASSERT_EQ(wire(), "aI bR");
  EXPECT_EQ(due_in(b, Timer::persistent_keepalive), 25s);
}

TEST_F(TimerEvents, TraversalByReceivingAResponseArmsPersistent) {
  keepalive_every(a, b, 25);
  cut_letter('R');
  run_for(2s);
  ASSERT_EQ(wire(), "aI bR");
  ASSERT_EQ(due_in(a, Timer::persistent_keepalive), 23s);
  std::vector<Slot> trains;  // all in use: the keepalive that follows a response has to wait
  while (Slot slot = a.trains().take()) {
    trains.push_back(std::move(slot));
  }
  const Datagram response = sent(b, 'R').front();
  noise::Wild wild;
  wild.slot = a.packets().take();
  wild.bytes = static_cast<std::uint32_t>(response.bytes.size());
  wild.source = response.from;
  wild.destination.ip = response.to.ip;
  copy_bytes(wild.slot.bytes().first(wild.bytes), response.bytes);
  a.device().on_udp({&wild, 1}, world.now_of(a), a.outbox);
  EXPECT_TRUE(a.outbox.transmits.empty());
  EXPECT_EQ(due_in(a, Timer::persistent_keepalive), 25s);
  a.outbox.clear();
  trains.clear();
  run_for(latency);
  EXPECT_EQ(wire(), "aI bR aK");
}

// fault: freebsd-pullup
TEST_F(TimerEvents, AnInitiationWithoutASlotIsTriedAgainInTime) {
  std::vector<Slot> slots = all_packet_slots(a);
  keepalive_every(a, b, 25);
  EXPECT_EQ(wire(), "");
  EXPECT_EQ(drops(a, noise::Drop::no_buffer), 1U);
  a.totals.tun_packets += 1;  // the world takes it for a packet of TUN
  EXPECT_THAT(due_in(a, Timer::retransmit_handshake), IsWithin(5s, 5s + jitter_max));
  EXPECT_EQ(due_in(a, Timer::persistent_keepalive), 25s);
  slots.clear();
  run_for(5s + jitter_max + 3 * latency);
  EXPECT_EQ(wire(), "aI bR aK");
}

TEST_F(TimerEvents, AResponseWithoutASlotIsMadeGoodByTheRetry) {
  std::vector<Slot> slots = all_packet_slots(b);
  send(a, b);
  run_for(3 * latency);
  EXPECT_EQ(wire(), "aI");
  EXPECT_EQ(drops(b, noise::Drop::no_buffer), 1U);
  b.totals.tun_packets += 1;  // likewise
  EXPECT_TRUE(pending(b, Timer::zero_key_material));
  EXPECT_EQ(noise::CoreTestAccess::index_count(a.device()), 1U);
  EXPECT_EQ(noise::CoreTestAccess::index_count(b.device()), 1U);
  slots.clear();
  run_for(5s + jitter_max + 3 * latency);
  EXPECT_EQ(wire(), "aI aI bR aD");
  EXPECT_EQ(b.totals.delivered, 1U);
}

TEST_F(TimerEvents, TraversalWithoutIntervalArmsNothing) {
  establish();
  send(a, b);
  send(b, a);
  run_for(latency);
  EXPECT_FALSE(pending(a, Timer::persistent_keepalive));
}

}  // namespace
}  // namespace wgring::sim
