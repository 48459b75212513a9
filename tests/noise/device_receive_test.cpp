// Protocol 12 and 13: the order of effects of a data message, and hostile ones.
#include <numeric>

#include "tests/sim/raw_pair.hpp"

namespace wgring::sim {
namespace {

using noise::CoreTestAccess;
using noise::Drop;
using noise::Timer;

class Receiving : public RawPair {
 protected:
  void SetUp() override {
    raw.establish();
    world.log.clear();
  }
  // The drop that one datagram is counted as; nullopt: none.
  std::optional<Drop> give_and_see(const Datagram& datagram) {
    const noise::DropCounters before = a.device().drops();
    raw.give(datagram);
    for (std::size_t i = 0; i < noise::drop_count; ++i) {
      const auto reason = static_cast<Drop>(i);
      if (drops(a, reason) != before[reason]) {
        return reason;
      }
    }
    return std::nullopt;
  }
  // Neither endpoint nor timer has moved, and the counter of `whole` is still unused.
  void expect_untouched(const Datagram& whole, const noise::PeerTimers& timers) {
    EXPECT_EQ(status(a).endpoint.remote, raw.address);
    EXPECT_EQ(raw_at_host().timers.at(Timer::send_keepalive), timers.at(Timer::send_keepalive));
    EXPECT_EQ(give_and_see(whole), std::nullopt);
    EXPECT_EQ(world.foreign.size(), 1U);
  }
  // Zeros behind a type.
  [[nodiscard]] Datagram nonsense(std::uint8_t type, std::size_t bytes) const {
    std::vector<std::uint8_t> made(bytes, 0);
    made[0] = type;
    return raw.wrap(std::move(made));
  }
  static std::vector<std::uint8_t> padded(std::vector<std::uint8_t> packet, std::size_t bytes) {
    packet.resize(bytes);
    return packet;
  }
};

TEST_F(Receiving, MalformedDatagramsAreCountedAndSilent) {  // H1, H2
  const std::size_t events = a.events.size();
  EXPECT_EQ(give_and_see(raw.wrap({})), Drop::malformed);
  for (int type = 0; type < 256; ++type) {
    for (std::size_t size = 0; size <= 200; ++size) {
      std::vector<std::uint8_t> bytes(size, 0);
      if (size > 0) {
        bytes[0] = static_cast<std::uint8_t>(type);
      }
      const bool is_data = type == 4 && size >= 32;
      const bool is_handshake =
          (type == 1 && size == 148) || (type == 2 && size == 92) || (type == 3 && size == 64);
      const auto drop = give_and_see(raw.wrap(std::move(bytes)));
      ASSERT_TRUE(drop.has_value()) << type << " of " << size;
      if (!is_data && !is_handshake) {
        ASSERT_EQ(drop, Drop::malformed) << type << " of " << size;
      }
    }
  }
  EXPECT_TRUE(world.log.empty());
  EXPECT_EQ(a.events.size(), events);
}

TEST_F(Receiving, AHandshakeAByteTooShortOrLongIsMalformed) {  // H4
  for (const Datagram& whole : {raw.initiation(), nonsense(2, 92), nonsense(3, 64)}) {
    Datagram shorter = whole;
    shorter.bytes.pop_back();
    EXPECT_EQ(give_and_see(shorter), Drop::malformed) << whole.bytes.size();
    Datagram longer = whole;
    longer.bytes.push_back(0);
    EXPECT_EQ(give_and_see(longer), Drop::malformed) << whole.bytes.size();
  }
  EXPECT_TRUE(world.log.empty());
}

TEST_F(Receiving, ReservedBytesMustBeZero) {  // H3
  for (std::size_t bit = 8; bit < 32; ++bit) {
    for (Datagram one : {raw.initiation(), nonsense(2, 92), nonsense(3, 64), raw.keepalive()}) {
      const bool has_macs = one.bytes[0] == 1 || one.bytes[0] == 2;
      one.bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
      if (has_macs) {
        raw.restamp_macs(one);
      }
      EXPECT_EQ(give_and_see(one), Drop::malformed) << bit << " of " << one.bytes.size();
    }
  }
}

TEST_F(Receiving, APlaintextOfOneByte) {  // H61
  EXPECT_EQ(give_and_see(raw.data(std::vector<std::uint8_t>(1, 0x45))), Drop::bad_inner);
}

TEST_F(Receiving, SizesOfData) {  // H5
  EXPECT_EQ(give_and_see(nonsense(4, 31)), Drop::malformed);
  EXPECT_EQ(give_and_see(raw.keepalive()), std::nullopt);
  EXPECT_EQ(give_and_see(raw.data(std::vector<std::uint8_t>(1, 0x45))), Drop::bad_inner) << "33";
  const Datagram largest = raw.data(padded(raw.inner(), 65'507 - 32));
  EXPECT_EQ(give_and_see(largest), std::nullopt) << "60 kB of padding, cut";  // H60
  ASSERT_EQ(world.foreign.size(), 1U);
  EXPECT_EQ(world.foreign.back(), raw.inner());
}

TEST_F(Receiving, TrainsWithOddEnds) {  // H7
  std::vector<Datagram> train;
  for (int i = 0; i < 64; ++i) {
    train.push_back(raw.data(raw.inner(i == 63 ? 50 : 100)));
  }
  raw.give(train, true);
  EXPECT_EQ(world.foreign.size(), 64U);
  train.clear();
  train.push_back(raw.data(raw.inner(100)));
  train.push_back(raw.wrap(std::vector<std::uint8_t>(1, 4)));
  raw.give(train, true);
  EXPECT_EQ(world.foreign.size(), 65U);
  EXPECT_EQ(drops(a, Drop::malformed), 1U);
}

// What comes to a shard though there is a door: behind a head that the kernel gave to the shard.
class AroundTheDoor : public Receiving {
 protected:
  void SetUp() override {
    Receiving::SetUp();
    run_for(1s);
    a.device().set_door(world.now());
    elsewhere.port += 1;
    data = raw.data(raw.inner(200));  // the longer one: it is the head
    initiation = raw.initiation();
  }
  void give_joined(Datagram head, const noise::SocketAddress& from) {
    head.from = initiation.from = from;
    const std::vector<Datagram> train{head, initiation};
    raw.give(train, true);
  }
  [[nodiscard]] std::size_t answers() {
    return to_raw('R').size() + sent_to(world, elsewhere, 'R').size();
  }

  noise::SocketAddress elsewhere = raw.address;
  Datagram data;
  Datagram initiation;
};

TEST_F(AroundTheDoor, AStrangerIsDropped) {
  Datagram forged = data;
  forged.bytes.back() ^= 1;
  give_joined(forged, elsewhere);
  give_joined(nonsense(3, 200), elsewhere);
  raw.give(initiation);  // where the kernel cut the train again
  EXPECT_EQ(drops(a, Drop::around_door), 3U);
  EXPECT_EQ(answers(), 0U);
}

TEST_F(AroundTheDoor, WhereThereIsNoneYetAStrangerIsHeard) {
  for (const Instant from : {world.now() + 1s, Instant::max()}) {
    a.device().set_door(from);
    elsewhere.port += 1;  // where it was before it is known by now
    initiation = raw.initiation();
    give_joined(nonsense(3, 200), elsewhere);
    EXPECT_EQ(sent_to(world, elsewhere, 'R').size(), 1U);
    run_for(100ms);
  }
  EXPECT_EQ(drops(a, Drop::around_door), 0U);
}

TEST_F(AroundTheDoor, ABroadcastIsHeard) {
  noise::Wild wild;
  wild.slot = a.trains().take();
  wild.source = elsewhere;
  wild.destination.ip = initiation.to.ip;
  wild.to_many = true;
  wild.bytes = static_cast<std::uint32_t>(initiation.bytes.size());
  copy_bytes(wild.slot.bytes(), initiation.bytes);
  a.device().on_udp({&wild, 1}, world.now_of(a), a.outbox);
  EXPECT_EQ(a.device().drops()[Drop::around_door], 0U);
  ASSERT_EQ(a.outbox.transmits.size(), 1U);
  EXPECT_EQ(a.outbox.transmits[0].endpoint.remote, elsewhere);
  a.outbox.clear();
}

TEST_F(AroundTheDoor, WhoIsKnownIsHeard) {
  Datagram forged = data;
  forged.bytes.back() ^= 1;
  give_joined(forged, raw.address);
  EXPECT_EQ(answers(), 1U);
}

TEST_F(AroundTheDoor, WhoMovedIsKnownByTheDataInFront) {
  give_joined(data, elsewhere);
  EXPECT_EQ(drops(a, Drop::around_door), 0U);
  EXPECT_EQ(answers(), 1U);
}

TEST_F(AroundTheDoor, WhoWasForgottenIsKnownByTheDataInFront) {
  noise::SocketAddress other{.ip = {.family = noise::Family::v4, .bytes = {203}}, .port = 9};
  for (std::uint32_t i = 0; i < 20 * noise::KnownSources::places; ++i) {
    store_le32(other.ip.bytes.data(), i);
    CoreTestAccess::know(a.device(), other);  // one of them takes its place
  }
  give_joined(nonsense(3, 200), raw.address);
  EXPECT_EQ(drops(a, Drop::around_door), 1U);
  give_joined(data, raw.address);
  EXPECT_EQ(drops(a, Drop::around_door), 1U);
  EXPECT_EQ(answers(), 1U);
}

class ReceivingTrains : public Receiving {
 protected:
  // Equal data messages, joined as some kernels do: more than we would send in one.
  [[nodiscard]] noise::Wild train(std::uint32_t segments) {
    noise::Wild wild;
    wild.slot = a.trains().take();
    wild.source = raw.address;
    for (std::uint32_t i = 0; i < segments; ++i) {
      const Datagram data = raw.data(make_inner({.number = next_number_++,
                                                 .family = noise::Family::v4,
                                                 .from = raw.number,
                                                 .to = a.number(),
                                                 .bytes = inner_bytes}));
      copy_bytes(wild.slot.bytes().subspan(wild.bytes), data.bytes);
      wild.stride_bytes = static_cast<std::uint32_t>(data.bytes.size());
      wild.bytes += wild.stride_bytes;
    }
    return wild;
  }
  // Gives the trains as one batch; returns the numbers of the packets that came out, in order.
  [[nodiscard]] std::vector<std::uint32_t> receive(std::span<noise::Wild> batch) {
    std::vector<std::uint32_t> numbers;
    a.device().on_udp(batch, world.now_of(a), a.outbox);
    for (const noise::Deliver& run : a.outbox.delivers) {
      for (std::uint32_t i = 0; i < run.inner_count; ++i) {
        const noise::Inner& inner = a.outbox.inners[run.first_inner + i];
        EXPECT_EQ(inner.bytes, inner_bytes);
        numbers.push_back(
            inner_number(run.slot.bytes().subspan(inner.offset_bytes, inner.bytes)).value_or(0));
      }
    }
    a.outbox.clear();
    return numbers;
  }
  [[nodiscard]] static std::vector<std::uint32_t> count_up(std::uint32_t first,
                                                           std::uint32_t count) {
    std::vector<std::uint32_t> numbers(count);
    std::iota(numbers.begin(), numbers.end(), first);
    return numbers;
  }

  static constexpr std::uint32_t inner_bytes = 64;
  std::uint32_t next_number_ = 1;
};

TEST_F(ReceivingTrains, OfMoreSegmentsThanWeSendAreOpenedWhole) {
  for (const std::uint32_t segments : {65U, 100U, 128U}) {
    const std::uint64_t bytes_before = status(a).rx_bytes;
    const std::uint64_t drops_before = all_drops();
    const std::uint32_t first = next_number_;
    noise::Wild wild = train(segments);
    EXPECT_EQ(receive({&wild, 1}), count_up(first, segments));
    EXPECT_EQ(status(a).rx_bytes - bytes_before, segments * (inner_bytes + 32U));
    EXPECT_EQ(all_drops(), drops_before);
  }
}

TEST_F(ReceivingTrains, OfMoreSegmentsThanAnyKernelJoinsAreRefused) {  // H7
  const std::uint64_t bytes_before = status(a).rx_bytes;
  noise::Wild wild = train(noise::received_segments_max + 1);
  EXPECT_TRUE(receive({&wild, 1}).empty());
  EXPECT_EQ(drops(a, Drop::malformed), noise::received_segments_max + 1);
  EXPECT_EQ(status(a).rx_bytes, bytes_before);
}

TEST_F(ReceivingTrains, BeyondTheOutboxAreCounted) {
  constexpr std::uint32_t segments = noise::received_segments_max;
  constexpr std::uint32_t fit = noise::Outbox::inners_max / segments;
  std::vector<noise::Wild> batch;
  for (std::uint32_t i = 0; i < fit + 1; ++i) {
    batch.push_back(train(segments));
  }
  EXPECT_EQ(receive(batch), count_up(1, fit * segments));
  EXPECT_EQ(drops(a, Drop::no_buffer), segments);
  a.totals.tun_packets += segments;  // the world takes a packet without a buffer for one of TUN
}

TEST_F(Receiving, UnknownIndex) {  // H45
  Datagram data = raw.keepalive();
  data.bytes[4] ^= 1;
  EXPECT_EQ(give_and_see(data), Drop::unknown_index);
}

TEST_F(Receiving, ATruncatedTagHasNoEffectAtAll) {  // H46
  const Datagram whole = raw.data(raw.inner());
  const noise::PeerTimers timers = raw_at_host().timers;
  for (std::size_t missing = 1; missing <= 16; ++missing) {
    Datagram cut_short = whole;
    cut_short.from.port += 1;
    cut_short.bytes.resize(whole.bytes.size() - missing);
    EXPECT_EQ(give_and_see(cut_short), Drop::bad_tag) << missing;
  }
  expect_untouched(whole, timers);
}

TEST_F(Receiving, AFlippedBitHasNoEffectAtAll) {  // H47
  const Datagram whole = raw.data(raw.inner());
  const noise::PeerTimers timers = raw_at_host().timers;
  for (std::size_t bit = 64; bit < 8 * whole.bytes.size(); ++bit) {
    Datagram flipped = whole;
    flipped.from.port += 1;
    flipped.bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_EQ(give_and_see(flipped), Drop::bad_tag) << bit;
  }
  expect_untouched(whole, timers);
}

// fault: boringtun-message-limit
TEST_F(Receiving, CountersAtTheLimit) {  // H48
  const auto reject = noise::reject_after_messages;
  EXPECT_EQ(give_and_see(raw.data(~std::uint64_t{0}, {})), Drop::replayed);
  EXPECT_EQ(give_and_see(raw.data(reject, {})), Drop::replayed);
  EXPECT_EQ(give_and_see(raw.data(reject - 1, {})), std::nullopt) << "the last valid one";
  EXPECT_EQ(give_and_see(raw.data(reject - 2, {})), Drop::expired_key) << "then the key is done";
}

// fault: boringtun-short-counter
TEST_F(Receiving, CounterJumpsAndOldOnes) {  // H49
  EXPECT_EQ(give_and_see(raw.data(std::uint64_t{1} << 63, {})), std::nullopt);
  EXPECT_EQ(give_and_see(raw.data(5, {})), Drop::replayed);
  EXPECT_EQ(give_and_see(raw.data((std::uint64_t{1} << 63) - 100, {})), std::nullopt);
}

// fault: lwip-window
TEST_F(Receiving, WindowEdges) {  // H50
  constexpr std::uint64_t top = 20'000;
  EXPECT_EQ(give_and_see(raw.data(top, {})), std::nullopt);
  EXPECT_EQ(give_and_see(raw.data(top - 8129, {})), Drop::replayed);
  EXPECT_EQ(give_and_see(raw.data(top - 8128, {})), std::nullopt);
  EXPECT_EQ(give_and_see(raw.data(top - 8127, {})), std::nullopt);
  EXPECT_EQ(give_and_see(raw.data(top - 8128, {})), Drop::replayed) << "twice";
}

TEST_F(Receiving, DuplicatesInOneTrainAreDeliveredOnce) {  // H51
  const Datagram one = raw.data(raw.inner());
  const std::vector<Datagram> both{one, one};
  raw.give(both, true);
  EXPECT_EQ(world.foreign.size(), 1U);
  EXPECT_EQ(drops(a, Drop::replayed), 1U);
}

TEST_F(Receiving, ReplayHasNoFurtherEffect) {
  const Datagram data = raw.data(raw.inner());
  raw.give(data);
  run_for(3s);
  const Instant keepalive = raw_at_host().timers.at(Timer::send_keepalive);
  Datagram replay = data;
  replay.from.port += 1;
  EXPECT_EQ(give_and_see(replay), Drop::replayed);
  EXPECT_EQ(status(a).endpoint.remote, raw.address) << "no roaming";
  EXPECT_FALSE(raw_at_host().need_another_keepalive) << "no data_received";
  EXPECT_EQ(raw_at_host().timers.at(Timer::send_keepalive), keepalive);
  EXPECT_EQ(world.foreign.size(), 1U);
}

TEST_F(Receiving, BadInnerStillRoamsAndArmsTimers) {  // 12: steps 2-7 stand before 8-11
  std::vector<std::uint8_t> inner = raw.inner();
  inner[0] = 0x55;
  Datagram data = raw.data(inner);
  data.from.port += 1;
  EXPECT_EQ(give_and_see(data), Drop::bad_inner);
  EXPECT_EQ(status(a).endpoint.remote.port, raw.address.port + 1);
  EXPECT_TRUE(raw_at_host().timers.pending(Timer::send_keepalive));
}

TEST_F(Receiving, InnerVersions) {  // H56
  for (const int version : {0, 5, 15}) {
    std::vector<std::uint8_t> inner = raw.inner(64);
    inner[0] = static_cast<std::uint8_t>(version << 4 | 5);
    EXPECT_EQ(give_and_see(raw.data(inner)), Drop::bad_inner) << version;
  }
}

// fault: freebsd-import
TEST_F(Receiving, InnerVersion4Lengths) {  // H57
  struct Case {
    std::uint8_t total_length;
    std::optional<Drop> drop;
  };
  for (const Case& one : {Case{0, Drop::bad_inner}, Case{19, Drop::bad_inner},
                          Case{20, std::nullopt}, Case{65, Drop::bad_inner}}) {
    std::vector<std::uint8_t> inner = raw.inner(64);
    inner[3] = one.total_length;
    EXPECT_EQ(give_and_see(raw.data(inner)), one.drop) << int{one.total_length};
  }
}

// fault: wireguard-go-ipv6-length, vpp-memory
TEST_F(Receiving, InnerVersion6Lengths) {  // H58
  const InnerSpec spec{.number = inner_numbers_max - 1,
                       .family = noise::Family::v6,
                       .from = raw.number,
                       .to = a.number(),
                       .bytes = 64};
  struct Case {
    std::uint16_t payload_length;
    std::optional<Drop> drop;
  };
  for (const Case& one : {Case{0, std::nullopt}, Case{24, std::nullopt}, Case{25, Drop::bad_inner},
                          Case{65535, Drop::bad_inner}, Case{65496, Drop::bad_inner}}) {
    std::vector<std::uint8_t> inner = make_inner(spec);
    store_be16(inner.data() + 4, one.payload_length);
    EXPECT_EQ(give_and_see(raw.data(inner)), one.drop) << one.payload_length;
  }
  ASSERT_EQ(world.foreign.size(), 2U);
  EXPECT_EQ(world.foreign.front().size(), 40U);
}

TEST_F(Receiving, InnerSourcesThatAreNotThePeers) {  // H59
  RawPeer other(world, a, 78);
  other.join();
  const std::uint32_t sources[] = {0x0a09004e /* the other peer's */, 0xffffffff, 0xe0000001,
                                   0x7f000001, 0x0a090001 /* the host's own */};
  for (const std::uint32_t source : sources) {
    std::vector<std::uint8_t> inner = raw.inner();
    store_be32(inner.data() + 12, source);
    EXPECT_EQ(give_and_see(raw.data(inner)), Drop::wrong_source) << std::hex << source;
  }
  EXPECT_TRUE(world.foreign.empty());
}

TEST_F(Receiving, InnerSourcesOfVersion6ThatAreNotThePeers) {  // H59
  RawPeer other(world, a, 78);
  other.join();
  const InnerSpec spec{.number = inner_numbers_max - 1,
                       .family = noise::Family::v6,
                       .from = raw.number,
                       .to = a.number(),
                       .bytes = 64};
  constexpr ByteArray<16> multicast{0xff, 0x02};
  constexpr ByteArray<16> loopback{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  for (const ByteArray<16>& source :
       {tunnel_address(noise::Family::v6, other.number).bytes, multicast, loopback, ByteArray<16>{},
        tunnel_address(noise::Family::v6, a.number()).bytes}) {
    std::vector<std::uint8_t> inner = make_inner(spec);
    copy_bytes(MutableBytes{inner}.subspan(8), source);
    EXPECT_EQ(give_and_see(raw.data(inner)), Drop::wrong_source) << testing::PrintToString(source);
  }
  EXPECT_TRUE(world.foreign.empty());
}

TEST_F(Receiving, NobodyIsAtPortZero) {
  const noise::SocketAddress before = status(a).endpoint.remote;
  Datagram message = raw.data(raw.inner());
  message.from.port = 0;
  EXPECT_EQ(give_and_see(message), Drop::malformed);
  EXPECT_EQ(status(a).endpoint.remote, before);
  message = raw.initiation();
  message.from.port = 0;
  EXPECT_EQ(give_and_see(message), Drop::malformed);
}

TEST_F(Receiving, WhatIsNotDeliveredIsNotCountedAsReceived) {
  std::vector<std::uint8_t> wrong_source = raw.inner();
  store_be32(wrong_source.data() + 12, 0x7f000001);
  std::vector<std::uint8_t> bad = raw.inner();
  bad[0] = 0x55;
  const std::uint64_t before = status(a).rx_bytes;
  EXPECT_EQ(give_and_see(raw.data(wrong_source)), Drop::wrong_source);
  EXPECT_EQ(give_and_see(raw.data(bad)), Drop::bad_inner);
  EXPECT_EQ(status(a).rx_bytes, before);
  EXPECT_EQ(give_and_see(raw.data(raw.inner(64))), std::nullopt);
  EXPECT_EQ(status(a).rx_bytes, before + 64 + noise::DataLayout::overhead_bytes);
}

// fault: gotatun-specific-peer
TEST_F(Receiving, AMoreSpecificOwnerWinsOverASubnet) {  // N9, N10
  noise::PeerUpdate subnet;
  subnet.public_key = raw.local.public_key();
  noise::AllowedIpChange change;
  change.prefix = {.address = tunnel_address(noise::Family::v4, 0), .cidr = 16};
  subnet.allowed_ips = {&change, 1};
  world.apply(a, subnet);
  std::vector<std::uint8_t> inner = raw.inner();
  store_be32(inner.data() + 12, 0x0a09004e);
  EXPECT_EQ(give_and_see(raw.data(inner)), std::nullopt);
  RawPeer other(world, a, 78);  // owns 10.9.0.78/32 from now on
  other.join();
  Datagram data = raw.data(inner);
  data.from.port = 9997;
  EXPECT_EQ(give_and_see(data), Drop::wrong_source);
  EXPECT_EQ(status(a).endpoint.remote.port, 9997) << "but the endpoint follows";
}

TEST_F(Receiving, PaddingIsNotJudged) {  // H60
  std::vector<std::uint8_t> inner = raw.inner(64);
  inner.resize(80, 0xaa);
  EXPECT_EQ(give_and_see(raw.data(inner)), std::nullopt);
  EXPECT_EQ(world.foreign.back().size(), 64U);
}

TEST_F(Receiving, LinkDownTakesNothing) {
  world.set_link(a, false);
  EXPECT_EQ(give_and_see(raw.keepalive()), Drop::link_down);
  world.receive(a, std::vector<Datagram>(5, raw.keepalive()), true);
  EXPECT_EQ(drops(a, Drop::link_down), 6U) << "each of a train";
}

}  // namespace
}  // namespace wgring::sim
