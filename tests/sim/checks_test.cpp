// The simulation's checks must be able to fail: each is shown the fault that it is there for.
#include "tests/sim/checks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/scenario.hpp"

namespace wgring::sim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ChecksFail : public testing::Test {
 protected:
  static Datagram data(std::uint64_t counter, std::size_t bytes = 96) {
    Datagram datagram;
    datagram.bytes.resize(bytes, 0x77);
    store_le32(datagram.bytes.data(), 4);
    store_le32(datagram.bytes.data() + 4, 9);
    store_le64(datagram.bytes.data() + 8, counter);
    return datagram;
  }
  // One packet from a to b, as the ledger knows it.
  std::vector<std::uint8_t> sent(std::uint32_t bytes = 64) {
    const InnerSpec spec{.number = checks.next_number(), .from = 1, .to = 2, .bytes = bytes};
    checks.inner_sent({.spec = spec, .from_host = 0, .to_host = 1});
    return make_inner(spec);
  }
  void expect_one(const char* text) { EXPECT_THAT(checks.failures, ElementsAre(HasSubstr(text))); }

  World world;
  Host& a = world.add_host();
  Host& b = world.add_host();
  Checks checks;
};

TEST_F(ChecksFail, NonceTwice) {
  checks.datagram(a, data(5));
  checks.datagram(a, data(6));
  EXPECT_THAT(checks.failures, IsEmpty());
  checks.datagram(a, data(6));
  expect_one("nonce");
}

TEST_F(ChecksFail, PlainBytesOnTheWire) {
  Datagram leak = data(0);
  std::copy(plain_marker.begin(), plain_marker.end(), leak.bytes.begin() + 40);
  checks.datagram(a, leak);
  expect_one("plain bytes");
}

TEST_F(ChecksFail, UnpaddedData) {
  checks.datagram(a, data(0, 97));
  expect_one("sealed at MTU");
}

TEST_F(ChecksFail, DscpOutside) {
  Datagram marked = data(0);
  marked.traffic_class = 0xb8;
  checks.datagram(a, marked);
  expect_one("DSCP");
}

TEST_F(ChecksFail, DeliveredTwice) {
  const auto packet = sent();
  checks.order_is_kept = false;
  checks.inner_delivered(b, packet);
  EXPECT_THAT(checks.failures, IsEmpty());
  checks.inner_delivered(b, packet);
  expect_one("twice");
}

TEST_F(ChecksFail, DeliveredToTheWrongHost) {
  checks.inner_delivered(a, sent());
  expect_one("wrong host");
}

TEST_F(ChecksFail, DeliveredWithOtherBytes) {
  auto packet = sent();
  packet.back() ^= 1;
  checks.inner_delivered(b, packet);
  expect_one("other bytes");
}

TEST_F(ChecksFail, DeliveredButNeverSent) {
  checks.inner_delivered(b, make_inner({.number = 7, .from = 1, .to = 2}));
  expect_one("nobody sent");
}

TEST_F(ChecksFail, Overtaken) {
  const auto first = sent();
  const auto second = sent();
  checks.inner_delivered(b, second);
  checks.inner_delivered(b, first);
  expect_one("overtook");
}

TEST_F(ChecksFail, SealedInTheWrongOrder) {
  static_cast<void>(sent());
  static_cast<void>(sent());
  Datagram numbered[] = {data(0), data(1)};
  numbered[0].number = 10;
  numbered[1].number = 11;
  const std::uint32_t numbers[] = {1, 0};
  checks.batch(b, {.datagrams = numbered, .before = {}, .delivered = 2}, numbers);
  checks.finish_flows();
  expect_one("sealed before");
}

TEST_F(ChecksFail, LostWithoutACounter) {
  const Datagram one = data(0);
  checks.batch(b, {.datagrams = {&one, 1}, .before = {}}, {});
  expect_one("1 packets came, 0 went out");
  checks.failures.clear();
  a.totals.tun_packets = 1;
  checks.balance(a, 0);
  expect_one("1 packets came from the TUN");
}

TEST_F(ChecksFail, SlotMissing) {
  const Slot held = a.packets().take();
  checks.balance(a, 0);
  expect_one("slots");
}

TEST_F(ChecksFail, HandshakeThatIsLeft) {
  checks.nothing_is_left(a);
  EXPECT_THAT(checks.failures, IsEmpty());
  world.add_peer(a, b, {.persistent_keepalive_s = 1});
  world.run_for(std::chrono::seconds{1});
  checks.nothing_is_left(a);
  expect_one("1 receiver indices and 0 keypairs");
}

TEST_F(ChecksFail, CrookedTrain) {
  noise::Transmit train;
  train.slot = a.trains().take();
  train.endpoint.remote = b.v4;
  train.segment_count = 2;
  train.stride_bytes = 100;
  train.bytes = 100;  // one segment only
  checks.train(a, train);
  expect_one("add up");
}

TEST(Scenarios, TheSameSeedDoesTheSameAgain) {
  const ScenarioResult first = Scenario({.seed = 11, .steps = 40}).run();
  const ScenarioResult second = Scenario({.seed = 11, .steps = 40}).run();
  const ScenarioResult other = Scenario({.seed = 12, .steps = 40}).run();
  EXPECT_EQ(first.datagrams, second.datagrams);
  EXPECT_EQ(first.delivered, second.delivered);
  EXPECT_EQ(first.elapsed, second.elapsed);
  EXPECT_NE(first.datagrams, other.datagrams);
}

}  // namespace
}  // namespace wgring::sim
