// Protocol 19, an effect a test: what configuration does to live state. H69 too.
#include <deque>

#include "tests/sim/raw_pair.hpp"

namespace wgring::sim {
namespace {

using noise::CoreTestAccess;
using noise::Drop;
using noise::Timer;

class Configuration : public Pair {
 protected:
  noise::PeerUpdate about(const Host& other) {
    noise::PeerUpdate update;
    update.public_key = other.public_key();
    return update;
  }
};

// fault: boringtun-configuration
TEST_F(Configuration, SamePrivateKeyIsANoOp) {
  establish();
  world.set_key(a, a.device().private_key().clone());
  send(a, b);
  EXPECT_EQ(wire(), "aD");
  crypto::Secret<32> unclamped = a.device().private_key().clone();
  unclamped.fill()[0] |= 7;  // the same after clamping
  world.set_key(a, unclamped);
  send(a, b);
  EXPECT_EQ(wire(), "aD aD");
}

TEST_F(Configuration, ZeroPrivateKeyRemovesTheIdentity) {
  establish();
  world.set_key(a, {});
  EXPECT_FALSE(a.device().has_identity());
  run_for(6s);
  send(a, b);
  run_for(1s);
  EXPECT_EQ(wire(), "");
  const std::uint64_t before = a.totals.delivered;
  send(b, a);
  run_for(1s);
  EXPECT_EQ(a.totals.delivered, before + 1) << "receiving goes on under the old session";
}

TEST_F(Configuration, AFirstPrivateKeyBeginsWhatWaitedForIt) {  // netns.sh: set later
  world.set_key(a, {});
  noise::PeerUpdate update = about(b);
  update.persistent_keepalive_s = 1;
  world.apply(a, update);
  run_for(3s);
  ASSERT_EQ(wire(), "");
  world.set_key(a, key_of(777));
  EXPECT_EQ(wire(), "aI");
}

TEST_F(Configuration, NewPrivateKeyStopsSendingAtOnceButNotReceiving) {
  establish();
  const noise::KeypairSet before = peer(a).keypairs;
  world.set_key(a, key_of(777));
  EXPECT_EQ(peer(a).keypairs.current, before.current);
  EXPECT_FALSE(current(a)->sending_valid);
  EXPECT_TRUE(current(a)->receiving_valid);
  send(b, a);
  run_for(latency);
  EXPECT_EQ(a.totals.delivered, 1U);
}

TEST_F(Configuration, NewPrivateKeyHandshakesAgainAtOnce) {  // N11
  send(a, b);
  run_for(100ms);  // less than 5 s after the last initiation
  forget();
  const crypto::PublicKey old = a.public_key();
  world.set_key(a, key_of(777));
  world.remove_peer(b, old);
  world.add_peer(b, a);
  send(a, b);
  run_for(1s);
  EXPECT_EQ(wire(), "aI bR aD");
  EXPECT_EQ(b.totals.delivered, 2U);
}

TEST_F(Configuration, NewPrivateKeyClearsTheHandshakeSlot) {
  cut();
  send(a, b);
  ASSERT_EQ(CoreTestAccess::index_count(a.device()), 1U);
  world.set_key(a, key_of(777));
  EXPECT_EQ(CoreTestAccess::index_count(a.device()), 0U);
  EXPECT_EQ(peer(a).handshake.state(), noise::HandshakeState::zeroed);
}

TEST_F(Configuration, NewPrivateKeyStopsTheNextOneToo) {
  send(a, b);
  run_for(latency);  // b answered: its session is unconfirmed
  ASSERT_NE(peer(b).keypairs.next, noise::no_keypair);
  world.set_key(b, key_of(778));
  EXPECT_FALSE(CoreTestAccess::keypair(b.device(), peer(b).keypairs.next)->sending_valid);
}

// The other end confirms a session that is of no use any more.
TEST_F(Configuration, UnderANewPrivateKeyAConfirmationEndsNoRetry) {
  send(a, b);
  run_for(latency);  // b answered
  world.set_key(b, key_of(778));
  send(b, a);
  ASSERT_EQ(wire(), "aI bR bI");
  run_for(2 * latency);
  ASSERT_EQ(wire(), "aI bR bI aD");
  ASSERT_EQ(b.totals.delivered, 1U);
  EXPECT_TRUE(pending(b, Timer::retransmit_handshake));
}

TEST_F(Configuration, PrivateKeyRemovesThePeerWithThatKey) {  // N32
  world.set_key(a, key_of(128 / 2 + 1));                      // seed of host b in this world
  ASSERT_EQ(a.public_key(), b.public_key());
  EXPECT_EQ(a.device().peer_count(), 0U);
}

TEST_F(Configuration, PeerWithOurOwnKeyIsIgnored) {  // N33, N34
  world.apply(a, about(a));
  EXPECT_EQ(a.device().peer_count(), 1U);
  const noise::PeerUpdate ours = about(a);
  world.set_key(a, key_of(900));
  world.apply(a, ours);
  EXPECT_EQ(a.device().peer_count(), 2U) << "a stranger's by now";
}

// fault: gotatun-preshared-key
TEST_F(Configuration, PresharedKeyIsUsedFromTheNextHandshakeOn) {
  establish();
  const crypto::Secret<32> psk = key_of(5);
  noise::PeerUpdate update = about(b);
  update.preshared_key = &psk;
  world.apply(a, update);
  send(a, b);
  EXPECT_EQ(wire(), "aD") << "the session is untouched";
  run_for(120s);
  send(a, b);  // rekeys; the other end has no preshared key yet
  run_for(1s);
  ASSERT_EQ(count(b, 'R'), 1U);
  EXPECT_EQ(drops(a, Drop::bad_handshake), 1U);
  noise::PeerUpdate other = about(a);
  other.preshared_key = &psk;
  world.apply(b, other);
  run_for(11s);
  EXPECT_EQ(drops(a, Drop::bad_handshake), 1U);
  EXPECT_EQ(current(a)->birth, peer(a).timers.at(Timer::zero_key_material) - 540s);
  EXPECT_LT(world.now() - current(a)->birth, 12s);
  EXPECT_TRUE(crypto::ct_equal(status(a).preshared_key.view(), psk.view()));
}

TEST_F(Configuration, ZeroPresharedKeyIsNone) {
  const crypto::Secret<32> psk = key_of(5);
  const crypto::Secret<32> none;
  noise::PeerUpdate update = about(b);
  update.preshared_key = &psk;
  world.apply(a, update);
  update.preshared_key = &none;
  world.apply(a, update);
  send(a, b);
  run_for(1s);
  EXPECT_EQ(b.totals.delivered, 1U);
}

TEST_F(Configuration, EndpointReplacesAddressAndForgetsTheSource) {
  establish();
  ASSERT_NE(status(a).endpoint.source, noise::LocalSource{});
  world.set_endpoint(a, b, noise::Family::v6);
  EXPECT_EQ(status(a).endpoint.remote, b.v6);
  EXPECT_EQ(status(a).endpoint.source, noise::LocalSource{});
  send(a, b);
  EXPECT_EQ(sent(a, 'D').back().to, b.v6);
  run_for(latency);
  EXPECT_EQ(b.totals.delivered, 2U);
}

TEST_F(Configuration, KeepaliveFromZeroSendsOneNowAndOtherwiseAtTheNextTraversal) {
  establish();
  noise::PeerUpdate update = about(b);
  update.persistent_keepalive_s = 20;
  world.apply(a, update);
  EXPECT_EQ(wire(), "aK");
  update.persistent_keepalive_s = 5;
  world.apply(a, update);
  EXPECT_EQ(wire(), "aK");
  EXPECT_EQ(due_in(a, Timer::persistent_keepalive), 20s) << "unchanged until then";
  send(a, b);
  EXPECT_EQ(due_in(a, Timer::persistent_keepalive), 5s);
  EXPECT_EQ(status(a).persistent_keepalive_s, 5U);
}

TEST_F(Configuration, KeepaliveWhileDownSendsWhenUp) {
  world.set_link(a, false);
  noise::PeerUpdate update = about(b);
  update.persistent_keepalive_s = 20;
  world.apply(a, update);
  EXPECT_EQ(wire(), "");
  EXPECT_TRUE(is_idle(a));
  world.set_link(a, true);
  EXPECT_EQ(wire(), "aI");
}

TEST_F(Configuration, UpdateOnlyAndRemoveOfAnAbsentPeerDoNothing) {
  noise::PeerUpdate update;
  update.public_key[3] = 9;
  update.update_only = true;
  world.apply(a, update);
  update.update_only = false;
  update.remove = true;
  world.apply(a, update);
  EXPECT_EQ(a.device().peer_count(), 1U);
}

TEST_F(Configuration, AnySetOnAPeerEndsWithSendingWhatIsStaged) {
  cut();
  send(a, b);
  run_for(5s);  // the limiter allows the next one
  forget();
  world.apply(a, about(b));
  EXPECT_EQ(wire(), "aI");
}

TEST_F(Configuration, AllowedIpMovesFromItsFormerPeer) {
  Host& c = world.add_host();
  world.add_peer(a, c);
  world.add_peer(c, a);
  establish();
  world.allow(a, c, b.number());
  world.allow(c, a, b.number());
  EXPECT_EQ(status(a).prefix_count, 0U);
  world.send(a, {.to = b.number(), .bytes = 96});
  run_for(1s);
  EXPECT_EQ(c.totals.delivered, 1U);
  const std::uint64_t before = drops(a, Drop::wrong_source);
  send(b, a);
  run_for(1s);
  EXPECT_EQ(drops(a, Drop::wrong_source), before + 1);
}

TEST_F(Configuration, SinglePrefixIsRemoved) {
  establish();
  world.disallow(a, b, b.number());
  send(a, b);
  EXPECT_EQ(drops(a, Drop::no_route), 1U);
  EXPECT_EQ(wire(), "");
}

TEST_F(Configuration, RemoveAllPrefixes) {
  noise::AllowedIpChange change;
  change.kind = noise::AllowedIpChange::Kind::remove_all;
  noise::PeerUpdate update = about(b);
  update.allowed_ips = {&change, 1};
  world.apply(a, update);
  EXPECT_EQ(status(a).prefix_count, 0U);
}

TEST_F(Configuration, LinkDownForgetsEverythingButThePeers) {
  establish();
  cut();
  current(a)->sending_valid = false;
  send(a, b, 3);
  world.set_link(a, false);
  EXPECT_EQ(drops(a, Drop::staged_abandoned), 3U);
  EXPECT_EQ(CoreTestAccess::index_count(a.device()), 0U);
  EXPECT_EQ(CoreTestAccess::keypair_count(a.device()), 0U);
  EXPECT_TRUE(is_idle(a));
  EXPECT_EQ(a.device().peer_count(), 1U);
  EXPECT_EQ(status(a).endpoint.remote, b.v4);
  heal();
  forget();
  world.set_link(a, true);
  send(a, b);
  EXPECT_EQ(wire(), "aI") << "at once: the 5 s limit is reset";
}

TEST_F(Configuration, LatestTimestampSurvivesLinkDownAndKeyChange) {
  establish();
  const noise::Timestamp latest = peer(b).handshake.latest_timestamp();
  ASSERT_NE(latest, noise::Timestamp{});
  world.set_link(b, false);
  world.set_link(b, true);
  EXPECT_EQ(peer(b).handshake.latest_timestamp(), latest);
  world.set_key(b, key_of(333));
  EXPECT_EQ(peer(b).handshake.latest_timestamp(), latest);
}

// fault: tailscale-rs-333
TEST_F(Configuration, RemovedPeerLeavesNothing) {
  establish();
  cut();
  current(a)->sending_valid = false;
  send(a, b, 3);
  world.remove_peer(a, b.public_key());
  EXPECT_EQ(a.device().peer_count(), 0U);
  EXPECT_EQ(CoreTestAccess::index_count(a.device()), 0U);
  EXPECT_EQ(CoreTestAccess::keypair_count(a.device()), 0U);
  EXPECT_EQ(drops(a, Drop::staged_abandoned), 3U);
  EXPECT_TRUE(a.slots_are_home());
  EXPECT_TRUE(is_idle(a));
}

TEST_F(Configuration, RemovePeersInPortions) {
  for (std::uint8_t i = 0; i < 100; ++i) {
    noise::PeerUpdate update;
    update.public_key[5] = i;
    update.public_key[6] = 77;
    world.apply(a, update);
  }
  EXPECT_EQ(a.device().peer_count(), 101U);
  EXPECT_FALSE(a.device().remove_peers(60));
  EXPECT_EQ(a.device().peer_count(), 41U);
  EXPECT_TRUE(a.device().remove_peers(60));
}

TEST_F(Configuration, ForgetSourcesForgetsAll) {
  establish();
  ASSERT_NE(status(a).endpoint.source, noise::LocalSource{});
  a.device().forget_sources();
  EXPECT_EQ(status(a).endpoint.source, noise::LocalSource{});
  EXPECT_EQ(status(a).endpoint.remote, b.v4);
}

TEST_F(Configuration, ForgetSourcesForgetsThoseThatWereRefused) {
  establish();
  const noise::LocalSource source = status(a).endpoint.source;
  noise::LocalSource other = source;
  other.ip.bytes[3] ^= 1;
  a.device().forget_sources(other);
  EXPECT_EQ(status(a).endpoint.source, source);
  a.device().forget_sources(source);
  EXPECT_EQ(status(a).endpoint.source, noise::LocalSource{});
}

TEST_F(Configuration, ASourceIsForgottenOnlyAsItWasSeen) {
  establish();
  noise::PeerEndpoint seen;
  ASSERT_TRUE(a.device().next_endpoint(0, seen));
  EXPECT_EQ(seen.endpoint, status(a).endpoint);
  noise::PeerEndpoint none;
  EXPECT_FALSE(a.device().next_endpoint(seen.serial, none));
  noise::PeerEndpoint moved = seen;
  moved.endpoint.source.interface_index += 1;
  a.device().forget_source(moved);
  noise::PeerEndpoint removed = seen;
  removed.serial += 1;
  a.device().forget_source(removed);
  EXPECT_EQ(status(a).endpoint, seen.endpoint) << "it has another by now, or is another peer";
  a.device().forget_source(seen);
  EXPECT_EQ(status(a).endpoint.source, noise::LocalSource{});
}

// H69: a peer removed, the key changed, the link down, at every moment of a handshake.
class Disturbance : public RawPair, public testing::WithParamInterface<int> {
 protected:
  void disturb() {
    switch (GetParam()) {
      case 0:
        world.remove_peer(a, raw.local.public_key());
        break;
      case 1:
        world.set_key(a, key_of(4321));
        break;
      default:
        world.set_link(a, false);
        break;
    }
  }
};

TEST_P(Disturbance, WhileAnInitiationWaitsForItsAnswer) {
  send_to_raw();
  const auto response = raw.response(to_raw('I').back());
  disturb();
  raw.give(*response);
  EXPECT_TRUE(to_raw('D').empty());
  run_for(200s);
}

// fault: linux-2020
TEST_P(Disturbance, WhileAResponseIsUnconfirmed) {
  raw.give(raw.initiation());
  ASSERT_TRUE(raw.consume(to_raw('R').back()));
  disturb();
  raw.give(raw.data(raw.inner()));
  EXPECT_EQ(world.foreign.size(), GetParam() == 1 ? 1U : 0U) << "only a key change lets it in";
  run_for(200s);
}

TEST_P(Disturbance, WhileATimerIsDue) {
  raw.establish();
  raw.give(raw.data(raw.inner()));
  send_to_raw();
  run_for(10s - 1ns);
  disturb();
  world.log.clear();
  run_for(200s);
  EXPECT_TRUE(to_raw('D').empty() && to_raw('K').empty()) << "the session is over";
  EXPECT_TRUE(GetParam() == 1 || world.log.empty()) << "only a key change leaves somebody";
}

// fault: DF-0315
TEST_P(Disturbance, WhileHandshakesWaitInTheQueue) {
  std::deque<RawPeer> others;  // those before it, of whom so many are served at once
  std::vector<Datagram> all;
  for (std::uint16_t number = 80; number < 80 + noise::handshakes_per_turn; ++number) {
    others.emplace_back(world, a, number).join();
    all.push_back(others.back().initiation());
  }
  all.push_back(raw.initiation());
  world.receive(a, all);
  ASSERT_EQ(CoreTestAccess::queued_handshakes(a.device()), 1U);
  EXPECT_TRUE(to_raw('R').empty());
  disturb();
  world.serve_deadlines(a);
  EXPECT_EQ(CoreTestAccess::queued_handshakes(a.device()), 0U);
  EXPECT_TRUE(to_raw('R').empty()) << "it was for whom there is no more";
}

INSTANTIATE_TEST_SUITE_P(PeerRemovedKeyChangedLinkDown, Disturbance, testing::Values(0, 1, 2));

}  // namespace
}  // namespace wgring::sim
