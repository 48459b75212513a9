// Protocol 6 and 7 under a real flood: more handshakes in one turn than a Device answers.
#include <algorithm>
#include <utility>

#include "tests/sim/raw_pair.hpp"

namespace wgring::sim {
namespace {

using noise::CoreTestAccess;
using noise::Drop;

class Flood : public RawPair {
 protected:
  Flood() { stranger.ip.bytes[0] = 203; }

  // So many handshakes wait now; those beyond the first few are not processed in this turn.
  void flood(std::size_t count, bool valid_mac1 = true) {
    flood(count, junk_from(stranger, valid_mac1));
  }
  void flood(std::size_t count, const Datagram& junk) {
    constexpr std::size_t turn_max = noise::train_segments_max * noise::wild_batch_max;
    for (std::size_t left = count; left > 0;) {
      const std::size_t now = std::min(left, turn_max);
      world.receive(a, std::vector<Datagram>(now, junk), true);
      left -= now;
    }
  }
  // From so many ports of the peer, which it is known to have been at, so many each.
  void flood_from_known(std::uint16_t ports, std::size_t each) {
    std::vector<Datagram> all;
    for (std::uint16_t port = 1; port <= ports; ++port) {
      Datagram here = raw.keepalive();
      here.from.port = port;
      put(here);
      all.insert(all.end(), each, junk_from(here.from));
    }
    for (std::span<const Datagram> rest{all}; !rest.empty();) {
      const std::size_t now = std::min(rest.size(), each * noise::wild_batch_max);
      world.receive(a, rest.first(now), true);
      rest = rest.subspan(now);
    }
  }
  // Without serving deadlines: the queue stays as long as it is.
  void put(const Datagram& datagram) { world.receive(a, {&datagram, 1}); }
  void serve() { world.serve_deadlines(a); }
  [[nodiscard]] std::size_t waiting() { return CoreTestAccess::queued_handshakes(a.device()); }

  noise::SocketAddress stranger = raw.address;
};

TEST_F(Flood, BelowTheThresholdNoCookieIsAsked) {
  flood(448);
  EXPECT_LT(waiting(), noise::under_load_handshakes);
  put(raw.initiation());
  serve();
  EXPECT_EQ(drops(a, Drop::cookie_sent), 0U);
  EXPECT_EQ(to_raw('R').size(), 1U);
  EXPECT_EQ(waiting(), 0U);
}

TEST_F(Flood, WhatWaitsWhenTheLinkGoesDownIsCounted) {
  flood(448);
  const std::size_t left = waiting();
  ASSERT_GT(left, 0U);
  world.set_link(a, false);
  EXPECT_EQ(waiting(), 0U);
  EXPECT_EQ(drops(a, Drop::link_down), left);
}

TEST_F(Flood, UnderLoadAnInitiationIsAnsweredByACookieAndThenTaken) {
  flood(640);
  ASSERT_GE(waiting(), noise::under_load_handshakes);
  put(raw.initiation());
  serve();
  EXPECT_TRUE(to_raw('R').empty());
  ASSERT_EQ(to_raw('C').size(), 1U);
  EXPECT_EQ(to_raw('C').front().bytes.size(), 64U);
  EXPECT_EQ(to_raw('C').front().traffic_class, 0);
  ASSERT_TRUE(raw.consume_cookie(to_raw('C').front()));
  run_for(500ms);  // still under load
  raw.give(raw.initiation());
  EXPECT_EQ(to_raw('R').size(), 1U);
}

TEST_F(Flood, LoadIsOverOneSecondAfterItWasLastSeen) {
  flood(640);
  serve();
  run_for(1s - 1ns);
  raw.give(raw.initiation());
  EXPECT_EQ(to_raw('C').size(), 1U);
  run_for(1ns);
  raw.give(raw.initiation());
  EXPECT_EQ(to_raw('C').size(), 1U);
  EXPECT_EQ(to_raw('R').size(), 1U) << "mac2 is not looked at any more";
}

TEST_F(Flood, BadMac1IsNeverAnswered) {  // H9
  flood(640, false);
  serve();
  EXPECT_TRUE(world.log.empty());
  EXPECT_EQ(drops(a, Drop::bad_mac1), 640U);
}

TEST_F(Flood, SpoofedWithoutMac1IsNoLoadAndDisturbsNobody) {  // H18
  raw.establish();
  Datagram junk = junk_from(stranger, false);
  for (std::uint16_t source = 0; source < 4000; ++source) {
    store_be16(junk.from.ip.bytes.data() + 2, source);
    put(junk);
  }
  EXPECT_EQ(drops(a, Drop::bad_mac1), 4000U);
  EXPECT_EQ(waiting(), 0U);
  put(raw.data(raw.inner()));
  EXPECT_EQ(world.foreign.size(), 1U);
  raw.give(raw.initiation());
  EXPECT_EQ(to_raw('C').size(), 0U) << "a cookie is not asked for";
}

TEST_F(Flood, CookieLessPacketsCostNoHandshake) {  // H10
  flood(640);
  const noise::DropCounters before = a.device().drops();
  serve();
  const std::uint64_t processed = drops(a, Drop::bad_handshake) - before[Drop::bad_handshake];
  EXPECT_EQ(processed, 0U);
  EXPECT_GT(drops(a, Drop::cookie_sent), 600U);
}

// fault: boringtun-cookie-port
TEST_F(Flood, CookieIsBoundToAddressAndPort) {  // H41
  flood(640);
  put(raw.initiation());
  serve();
  ASSERT_TRUE(raw.consume_cookie(to_raw('C').back()));
  Datagram elsewhere = raw.initiation();
  elsewhere.from.port += 1;
  raw.give(elsewhere);
  EXPECT_EQ(sent_to(world, elsewhere.from, 'C').size(), 1U) << "another port: another cookie";
  Datagram other_address = raw.initiation();
  other_address.from.ip.bytes[3] ^= 1;
  raw.give(other_address);
  EXPECT_EQ(sent_to(world, other_address.from, 'C').size(), 1U);
  raw.give(raw.initiation());
  EXPECT_EQ(to_raw('R').size(), 1U);
}

TEST_F(Flood, SenderUsesACookieForLessThan115Seconds) {  // H40
  flood(640);
  put(raw.initiation());
  serve();
  ASSERT_TRUE(raw.consume_cookie(to_raw('C').back()));
  run_for(115s - 1ms);
  const auto has_mac2 = [](const Datagram& message) {
    const Bytes mac2 = Bytes{message.bytes}.last(noise::mac_field_bytes);
    return std::any_of(mac2.begin(), mac2.end(), [](std::uint8_t byte) { return byte != 0; });
  };
  EXPECT_TRUE(has_mac2(raw.initiation()));
  run_for(1ms);
  EXPECT_FALSE(has_mac2(raw.initiation()));
}

TEST_F(Flood, SecretOlderThan120SecondsProvesNothing) {  // H40
  flood(640);
  put(raw.initiation());
  serve();
  const Datagram reply = to_raw('C').back();
  run_for(120s);
  ASSERT_TRUE(raw.consume_cookie(reply)) << "received late, so it is fresh to the sender";
  flood(640);
  put(raw.initiation());
  serve();
  EXPECT_EQ(to_raw('C').size(), 2U);
  EXPECT_TRUE(to_raw('R').empty());
}

TEST_F(Flood, ProvenSourceIsHeldToTwentyPerSecondWithABurstOfFive) {  // H42
  flood(640);
  put(raw.initiation());
  serve();
  ASSERT_TRUE(raw.consume_cookie(to_raw('C').back()));
  for (int i = 0; i < 12; ++i) {
    raw.give(raw.initiation());  // refused by the 20 ms rule but for the first: that is later
  }
  EXPECT_EQ(drops(a, Drop::rate_limited), 7U);
  run_for(50ms);
  raw.give(raw.initiation());
  EXPECT_EQ(drops(a, Drop::rate_limited), 7U);
  raw.give(raw.initiation());
  EXPECT_EQ(drops(a, Drop::rate_limited), 8U);
}

TEST_F(Flood, QueueIsBounded) {
  flood(noise::incoming_handshakes_max + 640);
  EXPECT_GT(drops(a, Drop::handshake_queue_full), 0U);
  EXPECT_LE(waiting(), noise::incoming_handshakes_max);
  serve();
  EXPECT_EQ(waiting(), 0U);
  EXPECT_TRUE(a.slots_are_home());
}

// fault: gotatun-load-by-source
TEST_F(Flood, ManySourcesAreOneLoad) {
  Datagram junk = junk_from(stranger);
  std::uint16_t source = 0;
  for (int turns = 0; turns < 20; ++turns) {
    std::vector<Datagram> batch;
    for (std::size_t i = 0; i < noise::wild_batch_max; ++i) {
      store_be16(junk.from.ip.bytes.data() + 2, source++);
      batch.push_back(junk);
    }
    world.receive(a, batch);
  }
  EXPECT_GT(drops(a, Drop::cookie_sent), 0U) << "though no source sent a second one";
  put(raw.initiation());
  serve();
  EXPECT_EQ(to_raw('C').size(), 1U);
  EXPECT_TRUE(to_raw('R').empty());
}

// fault: gotatun-load-by-source
TEST_F(Flood, WhoSpeaksInOurNameSpendsNothingOfOurRate) {
  flood(640);
  put(raw.initiation());
  serve();
  ASSERT_TRUE(raw.consume_cookie(to_raw('C').back()));
  flood(640, junk_from(raw.address));
  serve();
  EXPECT_EQ(drops(a, Drop::rate_limited), 0U);
  raw.give(raw.initiation());
  EXPECT_EQ(to_raw('R').size(), 1U);
  EXPECT_EQ(drops(a, Drop::rate_limited), 0U);
}

// fault: amneziawg-188
TEST_F(Flood, WithoutASlotThereIsNoReplyAndNothingElseChanges) {
  std::vector<Slot> slots;
  while (Slot slot = a.packets().take()) {
    slots.push_back(std::move(slot));
  }
  flood(640);
  serve();
  EXPECT_TRUE(world.log.empty());
  EXPECT_TRUE(a.events.empty());
  EXPECT_EQ(drops(a, Drop::cookie_sent), 0U);
  EXPECT_GT(drops(a, Drop::no_buffer), 600U);
  EXPECT_EQ(CoreTestAccess::index_count(a.device()), 0U);
  a.totals.tun_packets += drops(a, Drop::no_buffer);  // the world takes each for one of TUN
  slots.clear();
  raw.give(raw.initiation());
  EXPECT_EQ(to_raw('C').size(), 1U);
}

// fault: linux-flood
TEST_F(Flood, EstablishedTrafficGoesOn) {  // H19
  raw.establish();
  flood(4000);
  put(raw.data(raw.inner()));
  EXPECT_EQ(world.foreign.size(), 1U) << "data never waits behind handshakes";
  send_to_raw();
  EXPECT_EQ(to_raw('D').size(), 1U);
  serve();
}

TEST_F(Flood, OwnInitiationsKeepAShareOfTheTurn) {
  flood(448);
  const std::size_t before = waiting();
  ASSERT_GT(before, noise::handshakes_per_turn);
  send_to_raw();
  EXPECT_EQ(to_raw('I').size(), 1U) << "in its own turn, before those that wait";
  serve();
  EXPECT_EQ(waiting(), 0U);
}

TEST_F(Flood, BesideDataHandshakesAreHeldToARate) {
  raw.establish();
  flood(2000);
  serve();
  const auto looked_at = [&](Duration duration) {
    flood(1500);
    std::size_t most = 0;
    const std::uint64_t before = drops(a, Drop::cookie_sent);
    for (const Instant end = world.now() + duration; world.now() < end; run_for(1ms)) {
      put(raw.data(raw.inner()));
      serve();
      most = std::max(most, waiting());
    }
    EXPECT_GT(most, 0U) << "the others wait, and nothing spins";
    return drops(a, Drop::cookie_sent) - before;
  };
  const std::uint64_t in_20_ms = looked_at(20ms);
  EXPECT_LE(in_20_ms, 20U * 10 + 64);
  EXPECT_GE(in_20_ms, 20U * 10);
  run_for(1s);
  EXPECT_EQ(waiting(), 0U) << "no data, no rate";
}

TEST_F(Flood, APeerWhereItIsKnownToBeDoesNotWaitBehindStrangers) {
  raw.establish();
  flood(2000);
  ASSERT_GE(waiting(), noise::under_load_handshakes);
  put(raw.initiation());
  EXPECT_EQ(to_raw('C').size(), 1U) << "in its own turn, though under load";
  ASSERT_TRUE(raw.consume_cookie(to_raw('C').back()));
  put(raw.initiation());
  EXPECT_EQ(to_raw('R').size(), 1U);
  EXPECT_GT(waiting(), 1000U);
  Datagram elsewhere = raw.initiation();
  elsewhere.from.port += 1;
  put(elsewhere);
  EXPECT_TRUE(sent_to(world, elsewhere.from, 'C').empty()) << "there it is a stranger";
  serve();
  EXPECT_EQ(sent_to(world, elsewhere.from, 'C').size(), 1U);
}

TEST_F(Flood, WhatAnswersNothingOfOursTakesNoPlace) {
  raw.establish();
  for (const auto& [type, bytes] : {std::pair{2U, 92U}, {3U, 64U}}) {
    Datagram junk = raw.wrap(std::vector<std::uint8_t>(bytes, 0x5a));
    store_le32(junk.bytes.data(), type);
    noise::CookieJar jar;
    if (type == 2) {
      jar.add_macs(junk.bytes, raw.remote, world.now());
    }
    flood(5000, junk);
    EXPECT_EQ(waiting(), 0U);
  }
  EXPECT_EQ(drops(a, Drop::unknown_index), 5000U);
  EXPECT_EQ(drops(a, Drop::bad_cookie_reply), 5000U);
}

TEST_F(Flood, WhoKnowsWhereAPeerIsAndNotOurKeyTakesNoPlace) {
  raw.establish();
  flood(5000, junk_from(raw.address, false));
  EXPECT_EQ(waiting(), 0U);
  EXPECT_EQ(drops(a, Drop::bad_mac1), 5000U);
}

TEST_F(Flood, OfAFloodFromKnownSourcesStrangersHaveAFourth) {
  raw.establish();
  flood_from_known(1000, 3);
  ASSERT_GT(waiting(), 2000U);
  Datagram stranger_one = junk_from(stranger);
  put(stranger_one);
  for (int i = 0; i < 4; ++i) {
    put(raw.keepalive());
  }
  EXPECT_EQ(sent_to(world, stranger, 'C').size(), 1U);
  EXPECT_GT(waiting(), 1500U);
  serve();
}

TEST_F(Flood, FewOfOneKnownSourceWait) {
  raw.establish();
  flood(3000, junk_from(raw.address));
  EXPECT_LE(waiting(), 8U);
  EXPECT_GT(drops(a, Drop::handshake_queue_full), 2900U);
  put(junk_from(stranger));
  serve();
  EXPECT_EQ(drops(a, Drop::cookie_sent), 0U) << "it is no load";
  EXPECT_EQ(waiting(), 0U);
}

// It knows an index of its own, and with it its answers pass for expected.
TEST_F(Flood, APeerThatFloodsAnswersTakesNoPlaceOfAnother) {
  RawPeer hostile(world, a, 78);
  hostile.join();
  send_to(hostile);
  const Datagram to_hostile = sent_to(world, hostile.address, 'I').back();
  send_to_raw();
  const auto response = raw.response(to_raw('I').back());
  const std::uint32_t told = load_le32(&to_hostile.bytes[noise::InitiationLayout::sender_index]);
  for (const auto& [type, bytes] : {std::pair{2U, 92U}, {3U, 64U}}) {
    Datagram junk = hostile.wrap(std::vector<std::uint8_t>(bytes, 0x5a));
    store_le32(junk.bytes.data(), type);
    store_le32(&junk.bytes[type == 2 ? 8U : 4U], told);
    noise::CookieJar jar;
    if (type == 2) {
      flood(5000, junk);
      EXPECT_EQ(drops(a, Drop::bad_mac1), 5000U) << "who does not know our key";
      jar.add_macs(junk.bytes, hostile.remote, world.now());
    }
    flood(5000, junk);
    EXPECT_LE(waiting(), 8U) << type;
  }
  raw.give(*response);
  EXPECT_EQ(to_raw('D').size(), 1U) << "in its turn, and no load asks it for a cookie";
  EXPECT_TRUE(to_raw('C').empty());
}

TEST_F(Flood, WhatWaitedWhenTheLinkWentDownWaitsNoMore) {
  raw.establish();
  for (int i = 0; i < 4; ++i) {
    flood(3000, junk_from(raw.address));
    EXPECT_GT(waiting(), 0U);
    world.set_link(a, false);
    world.set_link(a, true);
  }
  const std::size_t answered = to_raw('R').size();
  run_for(1s);
  raw.give(raw.initiation());
  EXPECT_EQ(to_raw('R').size(), answered + 1);
}

// A peer that makes sources known by its data, and floods from them.
TEST_F(Flood, InitiationsLeaveRoomForAnswers) {
  raw.establish();
  RawPeer other(world, a, 78);
  other.join();
  send_to(other);
  const auto response = other.response(sent_to(world, other.address, 'I').back());
  flood_from_known(1000, 7);
  EXPECT_LE(waiting(), noise::incoming_handshakes_max / 2);
  EXPECT_GT(waiting(), noise::incoming_handshakes_max / 3);
  const std::uint64_t refused = drops(a, Drop::handshake_queue_full);
  put(*response);
  EXPECT_EQ(drops(a, Drop::handshake_queue_full), refused);
}

TEST_F(Flood, BesideDataAThousandASecondAreComputedWithoutACookie) {
  raw.establish();
  const noise::DropCounters before = a.device().drops();
  for (int ms = 0; ms < 1000; ++ms) {
    put(raw.data(raw.inner()));
    world.receive(a, std::vector<Datagram>(8, junk_from(stranger)));
    serve();
    run_for(1ms);
  }
  const noise::DropCounters& after = a.device().drops();
  EXPECT_LE(after[Drop::bad_handshake] - before[Drop::bad_handshake], 1000U + 64U);
  EXPECT_GE(after[Drop::cookie_sent] - before[Drop::cookie_sent], 6900U);
}

TEST_F(Flood, AWrongMac1SpendsNothingOfThatThousand) {
  raw.establish();
  const std::size_t answered = to_raw('R').size();
  for (int ms = 0; ms < 200; ++ms) {
    put(raw.data(raw.inner()));
    world.receive(a, std::vector<Datagram>(8, junk_from(stranger, false)));
    serve();
    run_for(1ms);
  }
  EXPECT_EQ(drops(a, Drop::bad_mac1), 1600U);
  put(raw.data(raw.inner()));
  put(raw.initiation());
  serve();
  EXPECT_TRUE(to_raw('C').empty());
  EXPECT_EQ(to_raw('R').size(), answered + 1);
}

TEST_F(Flood, AConfiguredEndpointIsKnown) {
  Datagram initiation = raw.initiation();
  initiation.from.port = 4000;
  noise::PeerUpdate update;
  update.public_key = raw.local.public_key();
  update.endpoint = initiation.from;
  world.apply(a, update);
  flood(2000);
  put(initiation);
  EXPECT_EQ(sent_to(world, initiation.from, 'C').size(), 1U);
  serve();
}

TEST_F(Flood, AnInitiatorUnderLoadAnswersAResponseWithACookie) {
  send_to_raw();
  const auto response = raw.response(to_raw('I').back());
  flood(640);
  put(*response);
  serve();
  EXPECT_EQ(to_raw('C').size(), 1U);
  EXPECT_TRUE(to_raw('D').empty()) << "the response is not processed";
  ASSERT_TRUE(raw.consume_cookie(to_raw('C').back()));
}

TEST_F(Flood, RequestsOfAllCookiesAreServedWithinTheOutbox) {
  flood(noise::incoming_handshakes_max);
  serve();  // asserts inside the outbox would end the process
  EXPECT_EQ(waiting(), 0U);
}

class Cookies : public Pair {};

// fault: vpp-cookies
TEST_F(Cookies, ARealHostRetriesWithItsCookie) {
  Datagram junk;
  junk.bytes.resize(noise::InitiationLayout::size);
  junk.bytes[0] = 1;
  junk.to = b.v4;
  junk.from = {.ip = {.family = noise::Family::v4, .bytes = {203, 0, 113, 1}}, .port = 9};
  noise::RemoteIdentity remote;
  remote.set_public_key(b.public_key());
  noise::CookieJar jar;
  jar.add_macs(junk.bytes, remote, world.now());
  const std::vector<Datagram> train(64, junk);
  send(a, b);
  for (int second = 0; second < 8; ++second) {
    run_for(latency / 2);
    for (int i = 0; i < 12; ++i) {
      world.receive(b, train, true);
    }
    run_for(1s - latency / 2);
  }
  EXPECT_EQ(b.totals.delivered, 1U);
  EXPECT_THAT(a.events, testing::Contains(noise::EventKind::cookie_received));
  EXPECT_EQ(count(a, 'I'), 2U) << "one without a cookie, one retry with it";
}

class CookieReplies : public RawPair {
 protected:
  Datagram reply_to(const Datagram& initiation) {
    std::vector<std::uint8_t> bytes(noise::CookieReplyLayout::size);
    noise::CookieMaker maker;
    const noise::SocketAddress host = a.v4;
    EXPECT_TRUE(maker.make_reply(fixed<64>(MutableBytes{bytes}), initiation.bytes, host,
                                 raw.local.mac_keys(), world.now(), raw.entropy.entropy()));
    return raw.wrap(std::move(bytes));
  }
};

TEST_F(CookieReplies, GenuineOneIsTakenOnce) {  // H36
  send_to_raw();
  const Datagram reply = reply_to(to_raw('I').back());
  raw.give(reply);
  EXPECT_EQ(drops(a, Drop::bad_cookie_reply), 0U);
  raw.give(reply);
  EXPECT_EQ(drops(a, Drop::bad_cookie_reply), 1U);
}

TEST_F(CookieReplies, GenuineOneMovesNothing) {  // H39
  send_to_raw();
  const Datagram initiation = to_raw('I').back();
  Datagram reply = reply_to(initiation);
  reply.from.port += 5;
  const Instant retry = raw_at_host().timers.at(noise::Timer::retransmit_handshake);
  raw.give(reply);
  EXPECT_EQ(drops(a, Drop::bad_cookie_reply), 0U);
  EXPECT_EQ(status(a).endpoint.remote, raw.address);
  EXPECT_EQ(status(a).rx_bytes, 0U);
  EXPECT_EQ(raw_at_host().timers.at(noise::Timer::retransmit_handshake), retry);
  EXPECT_EQ(to_raw('I').size(), 1U) << "it resends nothing";
}

TEST_F(CookieReplies, UnsolicitedOnesAreRefused) {  // H34, H38
  raw.establish();
  std::vector<std::uint8_t> bytes(64, 0x3c);
  store_le32(bytes.data(), 3);
  for (std::uint32_t index = 0; index < 100; ++index) {
    store_le32(bytes.data() + 4, index == 0 ? raw.session.remote_index : index);
    raw.give(raw.wrap(bytes));
  }
  EXPECT_EQ(drops(a, Drop::bad_cookie_reply), 100U);
}

TEST_F(CookieReplies, WrongAssociatedDataIsRefused) {  // H35
  send_to_raw();
  Datagram other = to_raw('I').back();
  other.bytes[noise::InitiationLayout::mac1] ^= 1;
  raw.give(reply_to(other));
  EXPECT_EQ(drops(a, Drop::bad_cookie_reply), 1U);
}

TEST_F(CookieReplies, ForAKeypairIndexIsAcceptedIfGenuine) {  // H37
  raw.give(raw.initiation());
  const Datagram response = to_raw('R').back();
  raw.give(reply_to(response));  // names the index that is the keypair's by now
  EXPECT_EQ(drops(a, Drop::bad_cookie_reply), 0U);
  EXPECT_THAT(a.events, testing::Contains(noise::EventKind::cookie_received));
}

}  // namespace
}  // namespace wgring::sim
