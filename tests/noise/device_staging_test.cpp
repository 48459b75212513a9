// Protocol 11: staging, nonces and the message limits.
#include "tests/sim/raw_pair.hpp"

namespace wgring::sim {
namespace {

using noise::Drop;

class Staging : public Pair {};

TEST_F(Staging, PacketsWaitForTheKeyAndLeaveInOrder) {
  send(a, b, 50);
  EXPECT_EQ(wire(), "aI");
  run_for(1s);
  EXPECT_EQ(b.totals.delivered, 50U);
  const std::vector<Datagram> data = sent(a, 'D');
  for (std::size_t i = 0; i < data.size(); ++i) {
    EXPECT_EQ(data[i].counter(), i);
  }
}

TEST_F(Staging, OneHundredAndTwentyEightStayTheOldestGo) {
  cut();
  send(a, b, 200);
  EXPECT_EQ(drops(a, Drop::staged_overflow), 200U - 128U);
  heal();
  run_for(6s);
  EXPECT_EQ(b.totals.delivered, 128U);
  EXPECT_FALSE(world.checks.line(71).delivered);
  EXPECT_TRUE(world.checks.line(72).delivered) << "the newest 128";
  EXPECT_TRUE(world.checks.line(199).delivered);
}

TEST_F(Staging, JumboPacketsAreStagedToo) {
  world.set_mtu(a, 8920);
  for (int i = 0; i < 5; ++i) {
    world.send(a, {.to = b.number(), .bytes = 8920});
  }
  run_for(1s);
  EXPECT_EQ(b.totals.delivered, 5U);
}

TEST_F(Staging, NonceOrderIsQueueOrderInOneBatch) {
  establish();
  std::vector<InnerSpec> batch;
  for (std::uint32_t i = 0; i < noise::plain_batch_max; ++i) {
    batch.push_back({.to = b.number(), .bytes = 100 + 37 * (i % 5)});
  }
  world.send_batch(a, batch);
  const std::vector<Datagram> data = sent(a, 'D');
  ASSERT_EQ(data.size(), batch.size());
  for (std::size_t i = 0; i < data.size(); ++i) {
    EXPECT_EQ(data[i].counter(), data[0].counter() + i);
    EXPECT_EQ(data[i].bytes.size(), 32 + (batch[i].bytes + 15) / 16 * 16);
  }
  run_for(latency);
  EXPECT_EQ(b.totals.delivered, batch.size() + 1);
}

TEST_F(Staging, StagedAndNewPacketsKeepTheirOrder) {
  send(a, b, 10);
  run_for(latency);  // the response is on its way
  send(a, b, 10);
  run_for(latency);
  send(a, b, 10);
  run_for(1s);
  EXPECT_EQ(b.totals.delivered, 30U);  // the order is checked by the world
}

// fault: boringtun-short-counter
TEST_F(Staging, RekeyAfterMessagesIsStrictlyMoreThanTwoToTheSixty) {
  establish();
  current(a)->sending_counter = noise::rekey_after_messages - 1;
  send(a, b);
  EXPECT_EQ(wire(), "aD");
  send(a, b);
  EXPECT_EQ(wire(), "aD aD aI");
}

// fault: boringtun-message-limit
TEST_F(Staging, RejectAfterMessagesStopsSending) {
  establish();
  cut_letter('I');
  current(a)->sending_counter = noise::reject_after_messages - 2;
  send(a, b, 4);
  const std::vector<Datagram> data = sent(a, 'D');
  ASSERT_EQ(data.size(), 2U);
  EXPECT_EQ(data.back().counter(), noise::reject_after_messages - 1) << "the last valid one";
  EXPECT_FALSE(current(a)->sending_valid);
  EXPECT_EQ(peer(a).staged.count(), 2U);
  run_for(latency);
  EXPECT_EQ(b.totals.delivered, 3U) << "and both are received";
  heal();
  run_for(6s);
  EXPECT_EQ(b.totals.delivered, 5U) << "the rest goes under the next key";
}

TEST_F(Staging, RejectAfterMessagesWithinOneBatch) {
  establish();
  cut_letter('I');
  current(a)->sending_counter = noise::reject_after_messages - 3;
  const std::vector<InnerSpec> batch(8, InnerSpec{.to = b.number(), .bytes = 100});
  world.send_batch(a, batch);
  EXPECT_EQ(count(a, 'D'), 3U);
  EXPECT_EQ(peer(a).staged.count(), 5U);
  heal();
  run_for(6s);
  EXPECT_EQ(b.totals.delivered, 9U);
}

TEST_F(Staging, LimitedMessageCountOfTheReceiver) {  // H48
  establish();
  current(a)->sending_counter = noise::reject_after_messages - 1;
  cut_letter('I');
  send(a, b);
  run_for(latency);
  ASSERT_EQ(b.totals.delivered, 2U);
  EXPECT_EQ(current(b)->window.top(), noise::reject_after_messages);
  Datagram another = sent(a, 'D').back();
  world.receive(b, {&another, 1});
  EXPECT_EQ(drops(b, Drop::expired_key), 1U) << "the key is at its limit for good";
  EXPECT_FALSE(current(b)->receiving_valid);
}

TEST_F(Staging, InitiationsKeepFiveSecondsApart) {
  cut();
  for (int i = 0; i < 49; ++i) {
    send(a, b);
    run_for(100ms);
  }
  EXPECT_EQ(count(a, 'I'), 1U);
  run_for(100ms);
  send(a, b);
  EXPECT_EQ(count(a, 'I'), 2U) << "at five seconds";
}

TEST_F(Staging, AResponseHoldsBackOurOwnInitiationForFiveSeconds) {
  cut_from(b);
  send(a, b);
  run_for(latency);
  ASSERT_EQ(wire(), "aI bR");
  send(b, a);
  run_for(4900ms - latency);
  EXPECT_EQ(count(b, 'I'), 0U);
  send(b, a);
  run_for(200ms);
  send(b, a);
  EXPECT_EQ(count(b, 'I'), 1U);
}

TEST_F(Staging, NoBufferIsCountedAndHarmless) {
  establish();
  std::vector<Slot> all;
  while (Slot slot = a.trains().take()) {
    all.push_back(std::move(slot));
  }
  send(a, b, 3);
  EXPECT_EQ(drops(a, Drop::no_buffer), 3U);
  EXPECT_EQ(wire(), "");
  all.clear();
  send(a, b);
  run_for(latency);
  EXPECT_EQ(b.totals.delivered, 2U);
}

TEST_F(Staging, StagingWithoutSlotsIsCounted) {
  std::vector<Slot> all;
  while (a.packets().available() > 16) {
    all.push_back(a.packets().take());
  }
  send(a, b, 5);
  EXPECT_EQ(drops(a, Drop::staged_overflow), 5U);
  all.clear();
  send(a, b);
  run_for(6s);
  EXPECT_EQ(b.totals.delivered, 1U);
}

TEST_F(Staging, APacketTooLongForADatagramIsCountedAndTheOthersLeaveInOrder) {
  world.set_mtu(a, 65'535);
  world.send(a, {.to = b.number(), .bytes = 65'500});
  send(a, b, 64);  // with the long one, more packets than one run of the AEAD holds
  run_for(1s);
  EXPECT_EQ(drops(a, Drop::too_long), 1U);
  EXPECT_EQ(drops(a, Drop::staged_overflow), 0U);
  EXPECT_EQ(b.totals.delivered, 64U);  // the order is checked by the world
  world.send(a, {.to = b.number(), .bytes = 65'500});
  EXPECT_EQ(drops(a, Drop::too_long), 2U) << "unstaged too";
}

class WaitingFlush : public RawPair {};

TEST_F(WaitingFlush, SleepsWhileThereIsNoTrainAndGoesOnWithTheFirstOne) {
  send_to_raw();
  send_to_raw();
  const Datagram response = *raw.response(to_raw('I').back());
  std::vector<Slot> all;
  while (Slot slot = a.trains().take()) {
    all.push_back(std::move(slot));
  }
  noise::Wild wild;
  wild.slot = a.packets().take();
  wild.bytes = static_cast<std::uint32_t>(response.bytes.size());
  wild.source = raw.address;
  copy_bytes(wild.slot.bytes(), response.bytes);
  a.device().on_udp({&wild, 1}, world.now_of(a), a.outbox);
  a.outbox.clear();
  EXPECT_EQ(raw_at_host().staged.count(), 2U);
  const noise::Deadline asleep = a.device().next_deadline();
  EXPECT_GT(asleep.at, world.now()) << "the shard would spin";
  EXPECT_EQ(asleep.reason, noise::DeadlineReason::timer);

  all.pop_back();
  const noise::Deadline awake = a.device().next_deadline();
  EXPECT_EQ(awake.at, world.now());
  EXPECT_EQ(awake.reason, noise::DeadlineReason::backlog);
  world.serve_deadlines(a);
  EXPECT_EQ(to_raw('D').size(), 2U);
}

class KeepaliveStaging : public RawPair {};

TEST_F(KeepaliveStaging, KeepaliveWithPacketsStagedJustSendsThose) {
  send_to_raw();
  noise::PeerUpdate update;
  update.public_key = raw.local.public_key();
  update.persistent_keepalive_s = 10;
  world.apply(a, update);
  raw.give(*raw.response(to_raw('I').back()));
  EXPECT_EQ(to_raw('D').size(), 1U);
  EXPECT_EQ(to_raw('K').size(), 0U);
}

TEST_F(KeepaliveStaging, StagedKeepaliveGoesFirstAndCountsNoData) {
  noise::PeerUpdate update;
  update.public_key = raw.local.public_key();
  update.persistent_keepalive_s = 10;
  world.apply(a, update);
  send_to_raw();
  raw.give(*raw.response(to_raw('I').back()));
  EXPECT_EQ(to_raw('D').size(), 1U);
  EXPECT_EQ(to_raw('K').size(), 1U);
}

}  // namespace
}  // namespace wgring::sim
