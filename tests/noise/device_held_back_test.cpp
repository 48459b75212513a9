// Protocol 14.4: the limit of five seconds comes between the wish for an initiation and its turn.
#include <deque>
#include <vector>

#include "tests/sim/raw_pair.hpp"

namespace wgring::sim {
namespace {

class HeldBack : public RawPair {
 protected:
  // An initiation that has to wait for the next turn.
  void receive_one_behind_others() {
    std::vector<Datagram> batch(noise::handshakes_per_turn, junk_from(raw.address));
    batch.push_back(raw.initiation());
    world.receive(a, batch);
  }
};

TEST_F(HeldBack, ARetryWhoseTurnComesBehindOurOwnResponseIsArmedAgain) {
  send_to_raw();
  ASSERT_EQ(to_raw('I').size(), 1U);
  world.deadline_slack = 10ms;
  world.run_until(raw_at_host().timers.at(noise::Timer::retransmit_handshake));
  receive_one_behind_others();
  ASSERT_TRUE(to_raw('R').empty());
  world.serve_deadlines(a);
  ASSERT_EQ(to_raw('R').size(), 1U) << "it is lost";
  ASSERT_EQ(to_raw('I').size(), 1U);
  world.deadline_slack = {};
  run_for(6s);
  EXPECT_EQ(to_raw('I').size(), 2U);
}

TEST_F(HeldBack, AnInitiationWhoseTurnComesBehindOurOwnResponseIsNotForgotten) {
  receive_one_behind_others();
  send_to_raw();
  ASSERT_EQ(to_raw('R').size(), 1U) << "it is lost";
  ASSERT_TRUE(to_raw('I').empty());
  run_for(6s);
  EXPECT_EQ(to_raw('I').size(), 1U);
}

// Before its turn came, the other end had begun, and all is well.
TEST_F(HeldBack, AnInitiationThatNobodyWantsAnyMoreIsNotMadeUpFor) {
  std::deque<RawPeer> others;
  std::vector<TunRead> reads;
  const auto read_for = [&](const RawPeer& peer) {
    reads.push_back({.packet = make_inner({.number = inner_numbers_max - 2,
                                           .family = noise::Family::v4,
                                           .from = a.number(),
                                           .to = peer.number,
                                           .bytes = 64}),
                     .offload = {}});
  };
  for (std::uint16_t i = 0; i < 2 * noise::handshakes_per_turn; ++i) {
    others.emplace_back(world, a, static_cast<std::uint16_t>(80 + i)).join();
    read_for(others.back());
  }
  read_for(raw);
  a.totals.tun_packets += reads.size();
  world.send_reads(a, reads);  // more than go in a turn
  const Datagram initiation = raw.initiation();
  world.receive(a, {&initiation, 1});
  ASSERT_EQ(to_raw('R').size(), 1U);
  ASSERT_TRUE(raw.consume(to_raw('R').back()));
  const Datagram confirmation = raw.keepalive();
  world.receive(a, {&confirmation, 1});
  ASSERT_FALSE(to_raw('D').empty());
  run_for(6s);
  EXPECT_TRUE(to_raw('I').empty());
}

}  // namespace
}  // namespace wgring::sim
