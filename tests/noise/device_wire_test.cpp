// Protocol 15, 16, 17 and 21: what is seen outside, what the inner sender is told, where packets
// go, and what is counted.
#include "noise/split.hpp"
#include "tests/noise/ip_packet.hpp"
#include "tests/sim/raw_pair.hpp"

namespace wgring::sim {
namespace {

using noise::Drop;
using noise::Family;

// --- 15: padding, ECN, traffic class ---

class Outside : public RawPair {
 protected:
  void SetUp() override {
    raw.establish();
    world.log.clear();
  }
};

TEST_F(Outside, PaddingObeysTheMtu) {
  struct Case {
    std::uint32_t mtu;
    std::uint32_t inner;
    std::uint32_t wire;
  };
  const Case cases[] = {{1420, 20, 64},     {1420, 32, 64},     {1420, 33, 80},
                        {1420, 1408, 1440}, {1420, 1409, 1452}, {1420, 1420, 1452},
                        {1280, 1280, 1312}, {1299, 1297, 1331}, {0, 100, 144},
                        {0, 1420, 1456},    {8920, 8920, 8952}, {68, 68, 100}};
  for (const Case& one : cases) {
    world.set_mtu(a, one.mtu == 0 ? 0 : one.mtu);
    send_to_raw(one.inner);
    EXPECT_EQ(world.log.back().bytes.size(), one.wire) << one.inner << " at MTU " << one.mtu;
    const auto plain = raw.open(world.log.back());
    ASSERT_TRUE(plain.has_value());
    for (std::size_t at = one.inner; at < plain->size(); ++at) {
      ASSERT_EQ((*plain)[at], 0) << "padding is zeros";
    }
  }
  world.set_mtu(a, 1420);
}

TEST_F(Outside, EcnOutwardCopiesEct) {
  for (std::uint8_t inner = 0; inner < 4; ++inner) {
    send_to_raw(64, static_cast<std::uint8_t>(0xb8 | inner));
    EXPECT_EQ(world.log.back().traffic_class, inner == 3 ? 2 : inner) << "no DSCP, CE is ECT(0)";
  }
}

TEST_F(Outside, EcnInwardFollowsRfc6040) {
  for (std::uint8_t inner = 0; inner < 4; ++inner) {
    for (std::uint8_t outer = 0; outer < 4; ++outer) {
      InnerSpec spec{.number = inner_numbers_max - 1,
                     .family = Family::v4,
                     .from = raw.number,
                     .to = a.number(),
                     .bytes = 64,
                     .traffic_class = inner};
      for (const Family family : {Family::v4, Family::v6}) {
        spec.family = family;
        Datagram data = raw.data(make_inner(spec));
        data.traffic_class = outer;
        raw.give(data);
        const std::uint8_t arrived = traffic_class_of(world.foreign.back());
        std::uint8_t expected = inner;
        if (outer == 3 && inner != 0) {
          expected = 3;
        } else if (outer == 1 && inner == 2) {
          expected = 1;
        }
        EXPECT_EQ(arrived, expected) << int{outer} << " around " << int{inner};
        EXPECT_TRUE(family == Family::v6 || v4_checksum_right(world.foreign.back()));
      }
    }
  }
  EXPECT_EQ(world.foreign.size(), 32U) << "every one is delivered";
}

TEST_F(Outside, HandshakesAreAf41AndTheRestIsZero) {
  send_to_raw();
  EXPECT_EQ(world.log.back().traffic_class, 0);
  run_for(120s);
  raw.give(raw.initiation());
  EXPECT_EQ(to_raw('R').back().traffic_class, 0x88);
  EXPECT_EQ(to_raw('R').size(), 1U);
}

TEST_F(Outside, ATrainJoinsEqualSizesAndEndsWithAShorterOne) {
  std::vector<std::vector<std::uint8_t>> buffers;
  std::vector<noise::Plain> batch;
  for (const std::uint32_t bytes : {100U, 100U, 100U, 50U, 100U, 200U}) {
    buffers.push_back(make_inner(
        {.number = 1, .family = Family::v4, .from = a.number(), .to = raw.number, .bytes = bytes}));
    buffers.back().resize(bytes + noise::plain_tailroom_bytes);
    batch.push_back({.data = buffers.back().data(), .bytes = bytes});
  }
  ASSERT_EQ(a.device().on_tun(batch, world.now_of(a), a.outbox), batch.size());
  ASSERT_EQ(a.outbox.transmits.size(), 3U);
  EXPECT_EQ(a.outbox.transmits[0].segment_count, 4);
  EXPECT_EQ(a.outbox.transmits[0].stride_bytes, 112U + 32U);
  EXPECT_EQ(a.outbox.transmits[0].bytes, 3 * 144U + 96U);
  EXPECT_EQ(a.outbox.transmits[1].segment_count, 1);
  EXPECT_EQ(a.outbox.transmits[2].segment_count, 1);
  a.outbox.clear();
}

// --- 11: super-packets ---

class SuperPackets : public RawPair {
 protected:
  // UDP of `payload` bytes from a to the raw peer, to be cut every `segment` bytes.
  [[nodiscard]] static std::vector<std::uint8_t> udp(const Host& from, std::uint16_t to,
                                                     std::size_t payload) {
    auto packet = test::v4_packet(8 + payload, 17);
    const auto source = tunnel_address(Family::v4, from.number());
    const auto destination = tunnel_address(Family::v4, to);
    copy_bytes(MutableBytes{packet}.subspan(12), source.significant());
    copy_bytes(MutableBytes{packet}.subspan(16), destination.significant());
    test::fix_v4_checksum(packet);
    return packet;
  }
  [[nodiscard]] static noise::VnetHeader cut(std::uint16_t segment) {
    return {.flags = noise::VnetHeader::needs_checksum,
            .gso_type = noise::VnetHeader::gso_udp_l4,
            .segment_bytes = segment,
            .checksum_start = 20,
            .checksum_offset = 6};
  }
  // What the splitter alone makes of it.
  [[nodiscard]] static std::vector<std::vector<std::uint8_t>> pieces(
      std::vector<std::uint8_t> packet, noise::VnetHeader header) {
    std::vector<std::vector<std::uint8_t>> all;
    auto splitter = noise::Splitter::open(packet, header);
    while (splitter && !splitter->done()) {
      const Bytes piece = splitter->next();
      all.emplace_back(piece.begin(), piece.end());
    }
    return all;
  }
  void expect_pieces(const std::vector<std::vector<std::uint8_t>>& expected) {
    const auto datagrams = sent(a, 'D');
    ASSERT_EQ(datagrams.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto plain = raw.open(datagrams[i]);
      ASSERT_TRUE(plain.has_value());
      ASSERT_GE(plain->size(), expected[i].size());
      for (std::size_t at = 0; at < plain->size(); ++at) {
        const bool padding = at >= expected[i].size();
        ASSERT_EQ((*plain)[at], padding ? 0 : expected[i][at]) << "datagram " << i;
      }
    }
  }
};

TEST_F(SuperPackets, AreCutAndSealedSegmentBySegment) {
  raw.establish();
  for (const auto& [payload, segment] :
       {std::pair{40'000, 1300}, {1000, 8}, {65'000, 1392}, {100, 99}, {5000, 5}}) {
    world.log.clear();
    const auto packet = udp(a, raw.number, static_cast<std::size_t>(payload));
    const auto header = cut(static_cast<std::uint16_t>(segment));
    const auto expected = pieces(packet, header);
    a.totals.tun_packets += expected.size();
    world.send_raw(a, packet, header);
    expect_pieces(expected);
  }
}

TEST_F(SuperPackets, WaitForAKeySegmentBySegment) {
  const auto packet = udp(a, raw.number, 10'000);
  a.totals.tun_packets += 10;
  world.send_raw(a, packet, cut(1000));
  EXPECT_EQ(raw_at_host().staged.count(), 10U);
}

TEST_F(SuperPackets, ThatAreBrokenAreRefusedWithIcmp) {
  raw.establish();
  world.log.clear();
  auto header = cut(1000);
  header.checksum_offset = 200;
  world.send_raw(a, udp(a, raw.number, 3000), header);
  EXPECT_EQ(drops(a, Drop::bad_inner), 1U);
  EXPECT_EQ(a.icmp.size(), 1U);
  EXPECT_TRUE(sent(a, 'D').empty());
}

TEST_F(SuperPackets, MoreThanATurnHoldsWaitForTheNext) {
  raw.establish();
  // 1 byte a segment: 1000 segments, 16 trains each; no turn has trains for all of them.
  std::vector<std::vector<std::uint8_t>> buffers;
  std::vector<noise::Plain> batch;
  for (int i = 0; i < 20; ++i) {
    buffers.push_back(udp(a, raw.number, 1000));
    buffers.back().resize(buffers.back().size() + noise::plain_tailroom_bytes);
    batch.push_back({.data = buffers.back().data(), .bytes = 1028, .offload = cut(1)});
  }
  std::size_t segments = 0;
  int turns = 0;
  for (std::span<const noise::Plain> left{batch}; !left.empty(); ++turns) {
    left = left.subspan(a.device().on_tun(left, world.now_of(a), a.outbox));
    for (const noise::Transmit& train : a.outbox.transmits) {
      segments += train.segment_count;
    }
    a.outbox.clear();
  }
  EXPECT_EQ(segments, 20'000U);
  EXPECT_GT(turns, 1);
  EXPECT_EQ(drops(a, Drop::no_buffer), 0U);
}

// --- 16: errors to the inner sender ---

class Refusals : public Pair {};

// fault: vpp-memory
TEST_F(Refusals, NoRouteIsAnsweredInBothFamilies) {
  world.send(a, {.family = Family::v4, .to = 500, .bytes = 64});
  world.send(a, {.family = Family::v6, .to = 500, .bytes = 64});
  ASSERT_EQ(a.icmp.size(), 2U);
  EXPECT_EQ(drops(a, Drop::no_route), 2U);
  const Bytes v4 = a.icmp[0];
  EXPECT_EQ(v4[9], 1) << "ICMP";
  EXPECT_EQ(v4[20], 3);
  EXPECT_EQ(v4[21], 1) << "host unreachable";
  EXPECT_EQ(load_be32(v4.data() + 16), 0x0a090001U) << "to the inner sender";
  const Bytes v6 = a.icmp[1];
  EXPECT_EQ(v6[6], 58) << "ICMPv6";
  EXPECT_EQ(v6[40], 1);
  EXPECT_EQ(v6[41], 3) << "address unreachable";
}

TEST_F(Refusals, NoEndpointIsAnswered) {
  Host& c = world.add_host();
  world.add_peer(a, c, {.endpoint = Family::none});
  world.send(a, {.to = c.number(), .bytes = 64});
  EXPECT_EQ(a.icmp.size(), 1U);
  EXPECT_EQ(drops(a, Drop::no_endpoint), 1U);
  EXPECT_EQ(wire(), "");
}

TEST_F(Refusals, ErrorsAreAThousandASecondInBurstsOfFifty) {
  std::uint64_t refused = 0;
  const auto answered = [&](int packets) {
    const std::size_t before = a.icmp.size();
    for (int i = 0; i < packets; ++i) {
      world.send(a, {.to = 500, .bytes = 64});
    }
    refused += static_cast<std::uint64_t>(packets);
    EXPECT_EQ(drops(a, Drop::no_route), refused) << "counted all the same";
    return a.icmp.size() - before;
  };
  EXPECT_EQ(answered(51), 50U);
  run_for(1ms - 1ns);
  EXPECT_EQ(answered(2), 0U);
  run_for(1ns);
  EXPECT_EQ(answered(2), 1U);
  run_for(1s);
  EXPECT_EQ(answered(51), 50U);
}

TEST_F(Refusals, NonIpIsDroppedWithoutIcmp) {  // H67
  const std::vector<std::vector<std::uint8_t>> reads = {{},
                                                        {0x45},
                                                        std::vector<std::uint8_t>(19, 0x45),
                                                        std::vector<std::uint8_t>(64, 0x00),
                                                        std::vector<std::uint8_t>(64, 0x50),
                                                        std::vector<std::uint8_t>(39, 0x60)};
  for (const auto& read : reads) {
    world.send_raw(a, read);
  }
  EXPECT_EQ(drops(a, Drop::bad_inner), reads.size());
  EXPECT_TRUE(a.icmp.empty());
  EXPECT_EQ(wire(), "");
}

TEST_F(Refusals, DroppedStagedPacketsAreNotAnswered) {
  cut();
  send(a, b, 140);
  run_for(120s);
  EXPECT_TRUE(a.icmp.empty());
  EXPECT_EQ(drops(a, Drop::staged_overflow) + drops(a, Drop::staged_abandoned), 140U);
}

// --- 17: roaming ---

class Roaming : public RawPair {
 protected:
  void SetUp() override { raw.establish(); }
  [[nodiscard]] noise::SocketAddress known() const { return status(a).endpoint.remote; }
  static Datagram from_port(Datagram datagram, std::uint16_t port) {
    datagram.from.port = port;
    return datagram;
  }
};

TEST_F(Roaming, LatestPacketWins) {  // H62
  Datagram last;
  for (std::uint16_t move = 1; move <= 50; ++move) {
    last = from_port(raw.keepalive(), move);
    last.from.ip.bytes[2] = static_cast<std::uint8_t>(move);
    raw.give(last);
    EXPECT_EQ(known(), last.from);
  }
  send_to_raw();
  EXPECT_EQ(world.log.back().to, last.from);
}

TEST_F(Roaming, AcrossFamilies) {  // N7, N8
  Datagram data = raw.keepalive();
  data.from = {.ip = {.family = Family::v6, .bytes = {0x20, 0x01, 9}}, .port = 9998, .scope_id = 0};
  data.to = a.v6;
  raw.give(data);
  EXPECT_EQ(known(), data.from);
  EXPECT_EQ(status(a).endpoint.source.ip, a.v6.ip) << "and we answer from where it came to";
  EXPECT_EQ(a.events.back(), noise::EventKind::endpoint_changed);
}

TEST_F(Roaming, ByInitiationAndByResponse) {
  run_for(1s);
  raw.give(from_port(raw.initiation(), 41));
  EXPECT_EQ(known().port, 41);
  EXPECT_EQ(world.log.back().to.port, 41) << "the response goes there";
  run_for(6s);
  raw_at_host().handshake.clear();
  noise::CoreTestAccess::keypair(a.device(), raw_at_host().keypairs.current)->sending_valid = false;
  send_to_raw();
  const auto response = raw.response(world.log.back());
  ASSERT_TRUE(response.has_value());
  raw.give(from_port(*response, 42));
  EXPECT_EQ(known().port, 42);
}

TEST_F(Roaming, NotByRefusedHandshakes) {
  const Datagram initiation = raw.initiation();
  run_for(1s);
  raw.give(initiation);
  raw.give(from_port(initiation, 43));
  EXPECT_NE(known().port, 43);
}

TEST_F(Roaming, RepliesLeaveFromTheAddressThePacketCameTo) {  // N23
  Datagram data = raw.keepalive();
  data.to.ip.bytes[3] = 99;
  raw.give(data);
  send_to_raw();
  EXPECT_EQ(world.log.back().sticky.ip, data.to.ip);
}

TEST_F(Roaming, CookieRepliesGoBackWithoutTouchingTheEndpoint) {
  std::vector<Datagram> flood(700, from_port(raw.initiation(), 44));
  world.receive(a, flood, true);
  world.serve_deadlines(a);
  EXPECT_GT(drops(a, Drop::cookie_sent), 0U);
  EXPECT_NE(known().port, 45);
  Datagram refused = from_port(raw.initiation(), 45);
  raw.give(refused);
  EXPECT_EQ(world.log.back().letter(), 'C');
  EXPECT_EQ(world.log.back().to.port, 45);
  EXPECT_NE(known().port, 45);
}

// --- 21: counters ---

class Counters : public Pair {};

TEST_F(Counters, TenPingsAsTheKernelCountsThem) {  // N1: 1372, 1428
  for (int i = 0; i < 10; ++i) {
    send(a, b, 1, 84);
    run_for(2 * latency);
    send(b, a, 1, 84);
    run_for(2 * latency);
  }
  EXPECT_EQ(status(a).tx_bytes, 148U + 10 * 128U);
  EXPECT_EQ(status(b).rx_bytes, 148U + 10 * 128U);
  EXPECT_EQ(status(a).rx_bytes, 92U + 10 * 128U);
  EXPECT_EQ(status(b).tx_bytes, 92U + 10 * 128U);
  run_for(30s);  // the last reply is answered by one keepalive: 1460
  EXPECT_EQ(status(a).tx_bytes, 1460U);
  EXPECT_EQ(status(b).rx_bytes, 1460U);
  EXPECT_NE(status(a).last_handshake, WallTime{});  // N2
  EXPECT_NE(status(b).last_handshake, WallTime{});
}

TEST_F(Counters, OnlyWhatIsAcceptedIsReceived) {
  establish();
  const std::uint64_t before = status(b).rx_bytes;
  send(a, b);
  Datagram bad = sent(a, 'D').back();
  bad.bytes.back() ^= 1;
  world.receive(b, {&bad, 1});
  EXPECT_EQ(status(b).rx_bytes, before);
  run_for(latency);
  EXPECT_EQ(status(b).rx_bytes, before + 128);
  const Datagram again = sent(a, 'D').back();
  world.receive(b, {&again, 1});
  EXPECT_EQ(status(b).rx_bytes, before + 128);
}

TEST_F(Counters, WrongSourceIsNotReceivedBytes) {
  establish();
  world.disallow(b, a, a.number());
  const std::uint64_t before = status(b).rx_bytes;
  send(a, b);
  run_for(latency);
  EXPECT_EQ(drops(b, Drop::wrong_source), 1U);
  EXPECT_EQ(status(b).rx_bytes, before);
}

// --- clocks: H65 ---

class Clocks : public Pair {};

// fault: CVE-2021-46873
TEST_F(Clocks, WallClockAYearBackOrForwardHarmsNoHandshake) {
  constexpr Duration year = std::chrono::hours{24 * 365};
  for (const Duration step : {-year, 2 * year, -year, year}) {
    a.wall_offset += step;
    run_for(200s);
    const std::uint64_t before = b.totals.delivered;
    send(a, b);
    run_for(1s);
    EXPECT_EQ(b.totals.delivered, before + 1) << "sent stamps only ever grow";
  }
}

TEST_F(Clocks, SuspendOfTenMinutesEndsSessions) {  // boottime went on, nobody was called
  establish();
  world.deadline_slack = 600s;
  run_for(599s);
  world.deadline_slack = {};
  send(a, b);
  EXPECT_EQ(count(a, 'D'), 0U);
  run_for(1s);
  EXPECT_EQ(b.totals.delivered, 2U) << "the overdue wipe of old keys spares the new handshake";
}

// What comes first may be the other end's: it does not put off the end of the old keys.
TEST_F(Clocks, SuspendOfTenMinutesEndsKeysBeforeAnInitiation) {
  establish();
  world.deadline_slack = 600s;
  run_for(599s);
  send(b, a);
  run_for(latency);
  world.deadline_slack = {};
  ASSERT_EQ(wire(), "bI aR");
  EXPECT_THAT(a.events, testing::Contains(noise::EventKind::keys_zeroed));
  EXPECT_EQ(peer(a).keypairs.current, noise::no_keypair);
  run_for(1s);
  EXPECT_EQ(a.totals.delivered, 1U);
}

TEST_F(Clocks, SuspendOfTenMinutesEndsKeysBeforeAResponse) {
  establish();
  run_for(170s);
  cut();
  send(a, b);
  const Datagram initiation = world.log.back();
  ASSERT_EQ(initiation.letter(), 'I');
  world.receive(b, {&initiation, 1});
  const Datagram response = world.log.back();
  ASSERT_EQ(response.letter(), 'R');
  world.deadline_slack = 600s;
  run_for(599s);
  world.receive(a, {&response, 1});
  world.deadline_slack = {};
  EXPECT_THAT(a.events, testing::Contains(noise::EventKind::keys_zeroed));
  EXPECT_EQ(peer(a).keypairs.current, noise::no_keypair);
}

class ClocksDeathTest : public Pair {};

TEST_F(ClocksDeathTest, TimeThatGoesBackIsABug) {  // who reads the clock sees to that
  Now earlier = world.now_of(a);
  earlier.boottime -= 1ns;
  EXPECT_DEATH(a.device().on_deadline(earlier, a.outbox), "assertion failed");
}

}  // namespace
}  // namespace wgring::sim
