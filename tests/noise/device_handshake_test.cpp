// Protocol 9 through a whole Device: what an unlucky or hostile handshake may and may not do.
// H numbers are the list of hostile inputs that must be survived.
#include <algorithm>
#include <random>

#include "noise/tai64n.hpp"
#include "tests/sim/raw_pair.hpp"

namespace wgring::sim {
namespace {

using noise::CoreTestAccess;
using noise::Drop;
using noise::no_keypair;

class CrossingHandshakes : public Pair {};

TEST_F(CrossingHandshakes, BothRefuseBothAnswersAndJitterDecides) {  // H31
  send(a, b);
  send(b, a);
  run_for(3 * latency);
  EXPECT_EQ(wire(), "aI bI bR aR");
  EXPECT_EQ(drops(a, Drop::unknown_index) + drops(a, Drop::bad_handshake), 1U);
  EXPECT_EQ(drops(b, Drop::unknown_index) + drops(b, Drop::bad_handshake), 1U);
  EXPECT_NE(peer(a).keypairs.next, no_keypair);
  EXPECT_NE(peer(b).keypairs.next, no_keypair);
  EXPECT_EQ(peer(a).keypairs.current, no_keypair);
  run_for(12s);
  EXPECT_EQ(a.totals.delivered, 1U);
  EXPECT_EQ(b.totals.delivered, 1U);
}

TEST_F(CrossingHandshakes, DenseTrafficInStepDoesNotCrossForEver) {
  // Each packet asks for a handshake as soon as five seconds are over, so at both ends at once.
  world.network.weather.delay_min = 50ms;
  world.network.weather.delay_max = 50ms;
  for (int i = 0; i < 4000; ++i) {  // 40 s
    send(a, b);
    send(b, a);
    run_for(10ms);
  }
  EXPECT_GT(a.totals.delivered, 1000U);
  EXPECT_GT(b.totals.delivered, 1000U);
}

TEST_F(CrossingHandshakes, ReplayedOldInitiationToARestartedResponder) {
  establish();
  send(a, b);
  run_for(1s);
  const Datagram old = [&] {
    world.log.clear();
    current(a)->sending_valid = false;
    run_for(5s);
    send(a, b);
    return sent(a, 'I').front();
  }();
  run_for(10s);
  world.remove_peer(b, a.public_key());  // a restart: the timestamp is forgotten
  world.add_peer(b, a);
  world.network.filter = [&](const Datagram& datagram) { return datagram.to == a.v4; };
  forget();
  world.receive(b, {&old, 1});
  EXPECT_EQ(wire(), "bR") << "accepted once";
  EXPECT_NE(peer(b).keypairs.next, no_keypair);
  EXPECT_EQ(peer(b).keypairs.current, no_keypair) << "and never used";
  world.receive(b, {&old, 1});
  EXPECT_EQ(wire(), "bR");
  EXPECT_EQ(status(b).last_handshake, WallTime{});
}

class Handshakes : public RawPair {};

TEST_F(Handshakes, NoiseBehindARightMac1ChangesNothing) {  // H10
  raw.establish();
  run_for(1s);
  world.log.clear();
  std::mt19937 random(10);
  for (int i = 0; i < 100; ++i) {
    Datagram noise = raw.initiation();
    noise.from.port += 1;
    std::generate(noise.bytes.begin() + noise::InitiationLayout::ephemeral,
                  noise.bytes.begin() + noise::InitiationLayout::mac1,
                  [&] { return static_cast<std::uint8_t>(random()); });
    raw.restamp_macs(noise);
    raw.give(noise);
  }
  EXPECT_EQ(drops(a, Drop::bad_handshake), 100U);
  EXPECT_TRUE(world.log.empty());
  EXPECT_EQ(status(a).endpoint.remote, raw.address);
  raw.give(raw.data(raw.inner()));
  EXPECT_EQ(world.foreign.size(), 1U) << "the session is what it was";
}

TEST_F(Handshakes, InitiationReplayedExactlyIsRefused) {  // H13
  const Datagram initiation = raw.initiation();
  raw.give(initiation);
  ASSERT_EQ(to_raw('R').size(), 1U);
  run_for(1s);
  raw.give(initiation);
  EXPECT_EQ(to_raw('R').size(), 1U);
  EXPECT_EQ(drops(a, Drop::bad_handshake), 1U);
}

TEST_F(Handshakes, OlderAndEqualTimestampsAreRefused) {  // H14
  noise::Timestamp stamp{};
  stamp.fill(0x40);
  raw.give(raw.initiation_stamped(stamp));
  ASSERT_EQ(to_raw('R').size(), 1U);
  run_for(1s);
  raw.give(raw.initiation_stamped(stamp));
  stamp[11] -= 1;
  raw.give(raw.initiation_stamped(stamp));
  EXPECT_EQ(to_raw('R').size(), 1U);
  EXPECT_EQ(drops(a, Drop::bad_handshake), 2U);
  stamp[11] += 2;
  raw.give(raw.initiation_stamped(stamp));
  EXPECT_EQ(to_raw('R').size(), 2U) << "one nanosecond later is later";
}

TEST_F(Handshakes, TimestampOfZerosIsNeverLater) {  // H15
  raw.give(raw.initiation_stamped({}));
  EXPECT_TRUE(to_raw('R').empty());
  EXPECT_EQ(drops(a, Drop::bad_handshake), 1U);
  raw.give(raw.initiation());
  EXPECT_EQ(to_raw('R').size(), 1U);
}

// fault: CVE-2021-46873
TEST_F(Handshakes, TimestampOfOnesLocksOutThatPeerOnly) {  // H16
  RawPeer other(world, a, 78);
  other.join();
  noise::Timestamp last{};
  last.fill(0xff);
  raw.give(raw.initiation_stamped(last));
  EXPECT_EQ(to_raw('R').size(), 1U);
  run_for(1s);
  raw.give(raw.initiation());
  EXPECT_EQ(to_raw('R').size(), 1U);
  EXPECT_EQ(drops(a, Drop::bad_handshake), 1U);
  other.give(other.initiation());
  EXPECT_EQ(sent_to(world, other.address, 'R').size(), 1U);
}

// fault: CVE-2021-46873
TEST_F(Handshakes, RemovingThePeerEndsItsLockout) {
  noise::Timestamp last{};
  last.fill(0xff);
  raw.give(raw.initiation_stamped(last));
  ASSERT_EQ(to_raw('R').size(), 1U);
  run_for(1s);
  world.remove_peer(a, raw.local.public_key());
  raw.join();
  raw.give(raw.initiation());
  EXPECT_EQ(to_raw('R').size(), 2U);
}

TEST_F(Handshakes, TwoWithinTwentyMillisecondsAreOne) {  // H17
  noise::Timestamp stamp{};
  stamp[0] = 0x40;
  raw.give(raw.initiation_stamped(stamp));
  run_for(20ms - 1ns);
  stamp[11] = 1;
  raw.give(raw.initiation_stamped(stamp));
  EXPECT_EQ(to_raw('R').size(), 1U);
  EXPECT_EQ(all_drops(), 1U);
  run_for(1ns);
  raw.give(raw.initiation_stamped(stamp));
  EXPECT_EQ(to_raw('R').size(), 2U);
}

// fault: freebsd-lookup
TEST_F(Handshakes, ResponseForAnIndexThatIsAKeypair) {  // H25, H26
  send_to_raw();
  const auto response = raw.response(to_raw('I').back());
  ASSERT_TRUE(response.has_value());
  raw.give(*response);
  ASSERT_EQ(to_raw('D').size(), 1U);
  raw.give(*response);  // once more: that index is a keypair's by now
  EXPECT_EQ(drops(a, Drop::unknown_index), 1U);
  send_to_raw();
  EXPECT_TRUE(raw.open(to_raw('D').back()).has_value()) << "the session goes on";
}

TEST_F(Handshakes, ResponseForAnUnknownIndex) {  // H24
  send_to_raw();
  auto response = raw.response(to_raw('I').back());
  store_le32(response->bytes.data() + noise::ResponseLayout::receiver_index, 12345);
  raw.restamp_macs(*response);
  raw.give(*response);
  EXPECT_EQ(drops(a, Drop::unknown_index), 1U);
}

// fault: freebsd-lookup
TEST_F(Handshakes, DataForAnIndexThatIsAHandshake) {
  send_to_raw();
  const Datagram initiation = to_raw('I').back();
  // Its sender index stands where data has the index of its receiver.
  std::vector<std::uint8_t> bytes = initiation.bytes;
  bytes[0] = static_cast<std::uint8_t>(noise::MessageType::data);
  raw.give(raw.wrap(bytes));
  bytes.resize(noise::DataLayout::overhead_bytes);
  raw.give(raw.wrap(bytes));
  EXPECT_EQ(drops(a, Drop::unknown_index), 2U);
  EXPECT_EQ(drops(a, Drop::bad_tag), 0U);
  raw.give(*raw.response(initiation));
  ASSERT_EQ(to_raw('D').size(), 1U);
  raw.give(raw.data(raw.inner()));
  EXPECT_EQ(world.foreign.size(), 1U);
}

// fault: openbsd-index-zero
TEST_F(Handshakes, AnIndexOfZeroIsOneLikeOthers) {
  RawPeer other(world, a, 78);
  other.join();
  a.entropy.next_word = 0;
  raw.establish();
  ASSERT_EQ(raw.session.remote_index, 0U);
  other.establish();  // has no index until the response is made
  run_for(1s);
  other.give(other.initiation());
  raw.give(raw.data(raw.inner()));
  EXPECT_EQ(world.foreign.size(), 1U) << "nobody gave that index up";
}

// With macs that fit, from elsewhere: refused by a tag, and nothing of the peer has moved.
class Refused : public Handshakes {
 protected:
  void expect_nothing_changed(const Datagram& genuine, std::initializer_list<std::size_t> places) {
    const std::string before = peer_as_text();
    const std::uint64_t refused = drops(a, Drop::bad_handshake);
    for (const std::size_t at : places) {
      Datagram altered = genuine;
      altered.bytes[at] ^= 0x10;
      altered.from.port += 1;
      raw.restamp_macs(altered);
      raw.give(altered);
      EXPECT_EQ(peer_as_text(), before) << at;
    }
    EXPECT_EQ(drops(a, Drop::bad_handshake), refused + places.size());
  }

 private:
  // Endpoint, counters, timers, indices, sessions and events.
  std::string peer_as_text() {
    const noise::Peer& peer = CoreTestAccess::peer(a.device(), raw.local.public_key());
    std::string text = std::to_string(peer.endpoint.remote.port) + ' ' +
                       std::to_string(peer.rx_bytes) + ' ' + std::to_string(peer.tx_bytes) + ' ' +
                       std::to_string(peer.handshake_index.value_or(0)) + ' ' +
                       std::to_string(peer.handshake_attempts) + ' ' +
                       std::to_string(peer.timers.earliest().time_since_epoch().count()) + ' ' +
                       std::to_string(CoreTestAccess::index_count(a.device())) + ' ' +
                       std::to_string(CoreTestAccess::keypair_count(a.device())) + ' ' +
                       std::to_string(a.events.size());
    for (std::size_t i = 0; i < noise::timer_count; ++i) {
      text += peer.timers.pending(static_cast<noise::Timer>(i)) ? '+' : '-';
    }
    return text;
  }
};

TEST_F(Refused, ResponsesChangeNothing) {  // H20, H27
  send_to_raw();
  const auto response = raw.response(to_raw('I').back());
  expect_nothing_changed(*response, {12, 30, 44, 59});
  raw.give(*response);
  EXPECT_EQ(to_raw('D').size(), 1U);
}

TEST_F(Refused, InitiationsChangeNothing) {  // H12
  raw.establish();
  run_for(1s);
  const Datagram initiation = raw.initiation();
  expect_nothing_changed(initiation, {8, 40, 88, 115});
  raw.give(initiation);
  EXPECT_EQ(to_raw('R').size(), 2U);
}

// fault: tailscale-rs-334
TEST_F(Handshakes, SpoofedResponseDoesNotSpoilTheTrueOne) {  // H27
  send_to_raw();
  const auto response = raw.response(to_raw('I').back());
  for (const std::size_t at : {12U, 30U, 44U, 59U}) {
    Datagram spoofed = *response;
    spoofed.bytes[at] ^= 0x10;
    raw.restamp_macs(spoofed);
    raw.give(spoofed);
  }
  EXPECT_EQ(drops(a, Drop::bad_handshake), 4U);
  EXPECT_TRUE(to_raw('D').empty());
  raw.give(*response);
  EXPECT_EQ(to_raw('D').size(), 1U);
}

TEST_F(Handshakes, ResponseWithLowOrderEphemeralIsRefused) {  // H21
  send_to_raw();
  const auto response = raw.response(to_raw('I').back());
  Datagram low = *response;
  fill_zero(MutableBytes{low.bytes}.subspan(noise::ResponseLayout::ephemeral, 32));
  raw.restamp_macs(low);
  raw.give(low);
  EXPECT_EQ(drops(a, Drop::bad_handshake), 1U);
  raw.give(*response);
  EXPECT_EQ(to_raw('D').size(), 1U);
}

TEST_F(Handshakes, ResponseUnderAnotherPresharedKeyIsRefused) {  // H28
  send_to_raw();
  raw.remote.preshared_key = key_of(99);
  raw.give(*raw.response(to_raw('I').back()));
  EXPECT_EQ(drops(a, Drop::bad_handshake), 1U);
  EXPECT_TRUE(to_raw('D').empty());
}

TEST_F(Handshakes, OurOwnInitiationSentBackIsRefused) {  // H29
  send_to_raw();
  raw.give(raw.wrap(to_raw('I').back().bytes));
  EXPECT_EQ(drops(a, Drop::bad_mac1), 1U) << "mac1 is for the other one's key";
  EXPECT_TRUE(to_raw('R').empty());
}

TEST_F(Handshakes, OurOwnDataSentBackIsRefused) {  // H30
  send_to_raw();
  raw.give(*raw.response(to_raw('I').back()));
  raw.give(raw.wrap(to_raw('D').back().bytes));
  EXPECT_EQ(drops(a, Drop::unknown_index), 1U);
  EXPECT_EQ(world.foreign.size(), 0U);
}

TEST_F(Handshakes, InitiationWhileOurResponseIsInFlight) {  // H32
  raw.give(raw.initiation());
  run_for(20ms);
  raw.give(raw.initiation());
  ASSERT_EQ(to_raw('R').size(), 2U);
  EXPECT_FALSE(raw.consume(to_raw('R').front())) << "that slot of ours is gone";
  EXPECT_TRUE(raw.consume(to_raw('R').back()));
  raw.give(raw.data(raw.inner()));
  EXPECT_EQ(world.foreign.size(), 1U);
}

TEST_F(Handshakes, UnknownPeerGetsNoAnswer) {  // H11
  RawPeer stranger(world, a, 79);
  stranger.give(stranger.initiation());
  EXPECT_TRUE(world.log.empty());
  EXPECT_EQ(drops(a, Drop::bad_handshake), 1U);
}

TEST_F(Handshakes, NoIdentityMeansSilence) {
  const crypto::Secret<32> none;
  const Datagram initiation = raw.initiation();
  world.set_key(a, none);
  EXPECT_FALSE(a.device().has_identity());
  raw.give(initiation);
  EXPECT_TRUE(world.log.empty());
  EXPECT_EQ(drops(a, Drop::no_identity), 1U);
  send_to_raw();
  EXPECT_TRUE(world.log.empty());
  run_for(30s);
  EXPECT_TRUE(world.log.empty());
}

TEST_F(Handshakes, LowOrderStaticKeysAreConfiguredAndSilent) {  // H23, N37
  for (const std::uint8_t first : {std::uint8_t{0}, std::uint8_t{1}}) {
    noise::PeerUpdate update;
    update.public_key[0] = first;
    update.endpoint = raw.address;
    update.persistent_keepalive_s = 1;
    world.apply(a, update);
  }
  EXPECT_EQ(a.device().peer_count(), 3U);
  run_for(2s);
  EXPECT_TRUE(world.log.empty());
}

TEST_F(Handshakes, NothingWaitsForALowOrderKey) {
  noise::AllowedIpChange change;
  change.prefix = tunnel_prefix(noise::Family::v4, raw.number);
  noise::PeerUpdate update;
  update.public_key[0] = 1;
  update.endpoint = raw.address;
  update.allowed_ips = {&change, 1};
  world.apply(a, update);
  send_to_raw();
  EXPECT_EQ(CoreTestAccess::staged_count(a.device()), 0U) << "a slot that is everybody's";
  EXPECT_EQ(drops(a, Drop::staged_abandoned), 1U);
}

TEST_F(Handshakes, EveryFlippedBitIsRefusedAndChangesNothing) {
  const Datagram initiation = raw.initiation();
  for (std::size_t bit = 0; bit < noise::InitiationLayout::mac2 * 8; bit += 7) {
    Datagram flipped = initiation;
    flipped.bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    raw.give(flipped);
  }
  EXPECT_TRUE(world.log.empty());
  EXPECT_EQ(CoreTestAccess::index_count(a.device()), 0U);
  raw.give(initiation);
  EXPECT_EQ(to_raw('R').size(), 1U);
}

TEST_F(Handshakes, WithoutEntropyThereIsNoHandshakeAndNoWeakKey) {  // H66
  a.entropy.failing = true;
  send_to_raw();
  raw.give(raw.initiation());
  EXPECT_TRUE(world.log.empty());
  EXPECT_GE(drops(a, Drop::no_entropy), 2U);
  EXPECT_EQ(CoreTestAccess::index_count(a.device()), 0U);
  run_for(6s);
  a.entropy.failing = false;
  raw.give(raw.initiation());
  EXPECT_EQ(to_raw('R').size(), 1U);
  run_for(6s);
  send_to_raw();
  EXPECT_EQ(to_raw('I').size(), 1U) << "and it goes on when there is some again";
}

TEST_F(Handshakes, WithoutEntropyAnInitiationIsTriedAgain) {
  a.entropy.failing = true;
  send_to_raw();
  a.entropy.failing = false;
  ASSERT_TRUE(world.log.empty());
  run_for(6s);
  EXPECT_EQ(to_raw('I').size(), 1U);
}

}  // namespace
}  // namespace wgring::sim
