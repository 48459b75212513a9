// Real lanes under a Device: threads open a batch, and what their order must not decide is decided
// by the owner. tests/sim/divided_test.cpp has one thread and every order.
#include "tun/lanes.hpp"

#include <gtest/gtest.h>

#include "crypto/self_test.hpp"
#include "tests/sim/pair.hpp"
#include "tests/sim/raw_peer.hpp"

namespace wgring::sim {
namespace {

using noise::Drop;

class Racing : public testing::TestWithParam<std::uint32_t> {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(crypto::initialise()); }
  void SetUp() override {
    ASSERT_TRUE(lanes.start({.count = GetParam(), .bytes_min = 0, .only_when_busy = false}));
    world.emplace(WorldOptions{.seed = 51, .keep_log = true, .runner = lanes.runner()});
    world->checks.expects_foreign_inner = true;
    host = &world->add_host();
    raw.emplace(*world, *host, std::uint16_t{77});
    raw->join();
    raw->establish();
  }
  void TearDown() override {
    world->finish();
    EXPECT_THAT(world->checks.failures, testing::IsEmpty());
  }
  [[nodiscard]] std::uint64_t replayed() const { return host->device().drops()[Drop::replayed]; }

  tun::Lanes lanes;
  std::optional<World> world;
  Host* host = nullptr;
  std::optional<RawPeer> raw;
};

INSTANTIATE_TEST_SUITE_P(Threads, Racing, ::testing::Values(1, 3));

// H51: a datagram 48 times in one batch, whole or in trains, so that several open it at the same
// time and all of them find it authentic. It is delivered once, and the peer is where the first
// copy came from.
TEST_P(Racing, OfDuplicatesOpenedAtTheSameTimeExactlyOneIsDelivered) {
  constexpr std::size_t copies = noise::wild_batch_max;
  std::size_t delivered = 0;
  std::uint64_t refused = 0;
  // On a machine that is busy with other things a lane may come too late, but not always.
  for (int round = 0; round < 100 || (lanes.counters().jobs < 20 && round < 1000); ++round) {
    const Datagram original = raw->data(raw->inner(1400));
    std::vector<Datagram> batch(copies, original);
    for (std::size_t i = 0; i < copies; ++i) {
      batch[i].from.port = static_cast<std::uint16_t>(1000 + delivered % 7 * 100 + i / 8);
    }
    world->receive(*host, batch, round % 2 == 0);
    delivered += 1;
    refused += copies - 1;
    ASSERT_EQ(world->foreign.size(), delivered);
    ASSERT_EQ(replayed(), refused);
    noise::PeerStatus peer;
    ASSERT_TRUE(host->device().next_peer(0, peer));
    ASSERT_EQ(peer.endpoint.remote.port, batch.front().from.port);
  }
  EXPECT_GT(lanes.counters().jobs, 0U) << "nobody raced";
}

// The same with many datagrams, each a few times and far from each other, out of order and beside
// some whose tag is wrong: those use up no counter, wherever they stand.
TEST_P(Racing, OfManyDatagramsShuffledWithTheirDuplicatesEachIsDeliveredOnce) {
  constexpr std::size_t originals = 12;
  Random random(GetParam());
  std::size_t delivered = 0;
  for (int round = 0; round < 100 || (lanes.counters().jobs < 20 && round < 1000); ++round) {
    std::vector<Datagram> batch;
    for (std::size_t i = 0; i < originals; ++i) {
      const Datagram original = raw->data(raw->inner(1400));
      batch.insert(batch.end(), 3, original);
      batch.push_back(original);
      batch.back().bytes[random.between(16, original.bytes.size() - 1)] ^= 1;
    }
    for (std::size_t left = batch.size(); left > 1; --left) {
      std::swap(batch[left - 1], batch[random.below(left)]);
    }
    world->receive(*host, batch, round % 2 == 0);
    delivered += originals;
    ASSERT_EQ(world->foreign.size(), delivered);
    ASSERT_EQ(replayed(), 2 * delivered);
    ASSERT_EQ(host->device().drops()[Drop::bad_tag], delivered);
  }
  EXPECT_GT(lanes.counters().jobs, 0U) << "nobody raced";
}

}  // namespace
}  // namespace wgring::sim
