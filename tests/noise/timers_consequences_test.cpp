// Protocol 14.4, a line a test: what the timers together mean for the wire.
#include <set>

#include "tests/sim/pair.hpp"

namespace wgring::sim {
namespace {

using noise::EventKind;
using noise::Timer;
using testing::Each;
using testing::ElementsAre;
using testing::SizeIs;

constexpr std::size_t initiations_in_all = 20;

class TimerConsequences : public Pair {
 protected:
  void keepalive_every(Host& on, Host& to, std::uint16_t seconds) {
    noise::PeerUpdate update;
    update.public_key = to.public_key();
    update.persistent_keepalive_s = seconds;
    world.apply(on, update);
  }
  // Retries follow each other by 5 s and less than 1/3 s.
  static void expect_retries(const std::vector<Duration>& at) {
    for (std::size_t i = 1; i < at.size(); ++i) {
      EXPECT_THAT(at[i] - at[i - 1], IsWithin(5s, 5s + jitter_max));
    }
  }
};

// fault: ts-tunnel
TEST_F(TimerConsequences, NoAnswerMeansTwentyInitiations) {
  cut();
  send(a, b);
  run_for(200s);
  const std::vector<Duration> at = times(a, 'I');
  ASSERT_THAT(at, SizeIs(initiations_in_all));
  EXPECT_EQ(at.front(), 0s);
  EXPECT_THAT(at.back(), IsWithin(95s, 19 * (5s + jitter_max)));
  expect_retries(at);
  std::set<Duration> gaps;
  for (std::size_t i = 1; i < at.size(); ++i) {
    gaps.insert(at[i] - at[i - 1]);
  }
  EXPECT_GT(gaps.size(), 15U) << "jitter differs from retry to retry";
}

TEST_F(TimerConsequences, GiveUpFollowsTheLastInitiationByOneRetryPeriod) {
  cut();
  send(a, b);
  while (a.events.empty() || a.events.back() != EventKind::handshake_gave_up) {
    ASSERT_LT(world.elapsed(), 150s);
    run_for(10ms);
  }
  const Duration after = world.elapsed() - times(a, 'I').back();
  EXPECT_THAT(after, IsWithin(5s, 5s + jitter_max + 10ms));
}

TEST_F(TimerConsequences, NewTrafficAfterGivingUpStartsFromZero) {
  cut();
  send(a, b);
  run_for(200s);
  forget();
  send(a, b);
  EXPECT_EQ(wire(), "aI");
  run_for(200s);
  EXPECT_EQ(count(a, 'I'), initiations_in_all);
}

TEST_F(TimerConsequences, TrafficThatKeepsComingNeverGivesUp) {
  cut();
  for (int i = 0; i < 300; ++i) {
    send(a, b);
    run_for(1s);
  }
  EXPECT_THAT(count(a, 'I'), testing::AllOf(testing::Ge(55U), testing::Le(60U)));
  EXPECT_THAT(a.events, Each(EventKind::handshake_initiated));
  expect_retries(times(a, 'I'));
}

TEST_F(TimerConsequences, EachRetryIsABrandNewMessage) {
  cut_from(b);  // each one is heard and answered, no answer comes through
  send(a, b);
  run_for(200s);
  std::set<std::uint32_t> indices;
  std::set<std::vector<std::uint8_t>> ephemerals;
  for (const Datagram& initiation : sent(a, 'I')) {
    const auto at = initiation.bytes.begin();
    indices.insert(initiation.sender_index());
    ephemerals.emplace(at + noise::InitiationLayout::ephemeral,
                       at + noise::InitiationLayout::sealed_static);
  }
  EXPECT_THAT(indices, SizeIs(initiations_in_all));
  EXPECT_THAT(ephemerals, SizeIs(initiations_in_all));
  // A timestamp that is not newer than the last one is a replay to b: it would not answer.
  EXPECT_EQ(count(b, 'R'), initiations_in_all);
  EXPECT_EQ(drops(b, noise::Drop::bad_handshake), 0U);
  EXPECT_EQ(noise::CoreTestAccess::index_count(a.device()), 1U) << "the old ones are gone";
}

TEST_F(TimerConsequences, InitiatorSendsWhatIsStagedAtOnce) {
  send(a, b, 3);
  run_for(2 * latency);
  EXPECT_EQ(wire(), "aI bR aD aD aD");
  EXPECT_THAT(times(a, 'D'), Each(2 * latency));
}

TEST_F(TimerConsequences, InitiatorWithNothingStagedSendsOneKeepalive) {
  keepalive_every(a, b, 100);
  run_for(2 * latency);
  EXPECT_EQ(wire(), "aI bR aK");
  EXPECT_THAT(times(a, 'K'), ElementsAre(2 * latency));
}

TEST_F(TimerConsequences, AnIdleTunnelIsSilent) {
  establish();
  run_for(3600s);
  EXPECT_EQ(wire(), "");
  EXPECT_TRUE(is_idle(a)) << "keys are gone, nothing to wake for";
  EXPECT_TRUE(is_idle(b));
}

// fault: zephyr-keepalive
TEST_F(TimerConsequences, OneWayDataIsAnsweredByAKeepaliveEveryTenSeconds) {
  establish();
  for (int i = 0; i < 1000; ++i) {  // 100 s
    send(a, b);
    run_for(100ms);
  }
  EXPECT_EQ(count(a, 'I') + count(b, 'I'), 0U) << "the sender never reached 15 s";
  EXPECT_THAT(count(b, 'K'), testing::AllOf(testing::Ge(9U), testing::Le(10U)));
  EXPECT_EQ(count(a, 'K'), 0U);
}

// fault: ts-tunnel
TEST_F(TimerConsequences, KeepalivesTriggerNoKeepalivesAndNoHandshake) {
  establish();
  keepalive_every(a, b, 7);
  run_for(100s);
  EXPECT_EQ(count(b, 'K'), 0U);
  EXPECT_THAT(count(a, 'K'), testing::AllOf(testing::Ge(14U), testing::Le(15U)));
  EXPECT_EQ(count(a, 'I') + count(b, 'I'), 0U) << "unanswered keepalives are no lost peer";
}

TEST_F(TimerConsequences, NeedAnotherSurvivesACancel) {
  establish();
  send(a, b);
  run_for(1s);
  send(a, b);  // while the first one's keepalive is pending
  run_for(1s);
  ASSERT_TRUE(peer(b).need_another_keepalive);
  send(b, a);  // cancels the timer, not the wish
  EXPECT_TRUE(peer(b).need_another_keepalive);
  run_for(1s);
  send(a, b);  // 3 s: arms it anew
  run_for(60s);
  EXPECT_THAT(times(b, 'K'), ElementsAre(13s + latency, 23s + latency));
}

TEST_F(TimerConsequences, InitiatorRekeysByAgeAfterItsData) {
  establish();
  run_for(120s - established_age + 2 * latency - 1ms);
  send(a, b);
  EXPECT_EQ(wire(), "aD") << "one millisecond before 120 s";
  run_for(1ms);
  send(a, b);
  EXPECT_EQ(wire(), "aD aD aI");
  const std::uint32_t old_index = sent(a, 'D').back().receiver_index();
  run_for(100ms);
  EXPECT_EQ(wire(), "aD aD aI bR aK");
  send(a, b);
  EXPECT_NE(sent(a, 'D').back().receiver_index(), old_index);
}

TEST_F(TimerConsequences, InitiatorRekeysOnReceiptFrom165SecondsOnOnce) {
  establish();
  const Duration to_165 = 165s - established_age + 2 * latency;
  run_for(to_165 - latency - 1ms);
  send(b, a);
  run_for(latency);
  EXPECT_EQ(wire(), "bD") << "one millisecond before 165 s";
  cut_from(a);  // the initiation is lost: no second one is asked for by receipt
  run_for(1ms);
  send(b, a);
  run_for(latency);
  EXPECT_EQ(wire(), "bD bD aI");
  EXPECT_TRUE(peer(a).sent_lastminute_handshake);
  run_for(6s);  // the retry timer has fired
  ASSERT_EQ(wire(), "bD bD aI aI");
  send(b, a);
  run_for(latency);
  ASSERT_EQ(count(b, 'D'), 3U);
  EXPECT_EQ(peer(a).handshake_attempts, 1U) << "receipt did not begin a new row of attempts";
}

// fault: boringtun-53
TEST_F(TimerConsequences, ResponderNeverRekeysByAge) {
  establish();
  cut_letter('I');                 // or the initiator would renew it
  for (int i = 0; i < 168; ++i) {  // up to 179 s
    send(b, a);
    send(a, b);
    run_for(1s);
  }
  EXPECT_GT(count(a, 'I'), 0U);
  EXPECT_EQ(count(b, 'I'), 0U);
}

TEST_F(TimerConsequences, ResponderInitiatesWithoutAUsableKey) {
  establish();
  cut_from(a);
  run_for(180s - established_age + latency);
  send(b, a);
  EXPECT_EQ(wire(), "bI");
}

TEST_F(TimerConsequences, ResponderInitiatesByMessageCount) {
  establish();
  current(b)->sending_counter = noise::rekey_after_messages - 1;
  send(b, a);
  send(b, a);
  EXPECT_EQ(wire(), "bD bD bI") << "strictly more than 2^60";
}

TEST_F(TimerConsequences, ResponderInitiatesByTheFifteenSecondTimer) {
  establish();
  cut();
  send(b, a);
  run_for(16s);
  EXPECT_THAT(times(b, 'I'), ElementsAre(IsWithin(15s, 15s + jitter_max)));
}

TEST_F(TimerConsequences, PeerLostMeansTwentyInitiationsFromFifteenSecondsOn) {
  establish();
  cut();
  send(a, b);
  run_for(300s);
  const std::vector<Duration> at = times(a, 'I');
  ASSERT_THAT(at, SizeIs(initiations_in_all));
  EXPECT_THAT(at.front(), IsWithin(15s, 15s + jitter_max));
  expect_retries(at);
}

TEST_F(TimerConsequences, KeysAreGone540SecondsAfterTheLastDerivationEvenUnderTraffic) {
  establish();
  cut();
  const Duration left = due_in(a, Timer::zero_key_material);
  for (Duration at{}; at + 1s < left; at += 1s) {
    send(a, b);
    run_for(1s);
  }
  EXPECT_GT(noise::CoreTestAccess::keypair_count(a.device()), 0U);
  run_for(1s);
  EXPECT_EQ(noise::CoreTestAccess::keypair_count(a.device()), 0U);
  EXPECT_EQ(noise::CoreTestAccess::keypair_count(b.device()), 0U);
}

TEST_F(TimerConsequences, RetransmitHeldBackByOurOwnResponseIsArmedAgain) {
  // a initiates and is not heard; just before its retry it answers b; that answer is lost too.
  cut();
  send(a, b);
  run_for(4900ms);
  world.network.filter = [](const Datagram& datagram) { return datagram.from_host == 1; };
  send(b, a);
  run_for(latency);
  ASSERT_EQ(wire(), "aI bI aR");
  const Duration responded = times(a, 'R').front();
  cut();
  run_for(6s);
  ASSERT_EQ(count(a, 'I'), 2U);
  EXPECT_THAT(times(a, 'I').back() - responded, IsWithin(5s, 5s + 2 * jitter_max));
}

// fault: ts-tunnel, boringtun-227
TEST_F(TimerConsequences, AKeyExpiresAtExactly180Seconds) {
  establish();
  cut_from(a);  // no rekey gets through
  run_for(180s - established_age + 2 * latency - 1ms);
  send(a, b);
  EXPECT_EQ(count(a, 'D'), 1U);
  run_for(1ms);
  send(a, b);
  EXPECT_EQ(count(a, 'D'), 1U);
}

TEST_F(TimerConsequences, TenMinutesOfTrafficLoseNothing) {
  for (int i = 0; i < 6000; ++i) {  // 600 s
    send(a, b);
    run_for(50ms);
    send(b, a);
    run_for(50ms);
  }
  EXPECT_EQ(a.totals.delivered, 6000U);
  EXPECT_EQ(b.totals.delivered, 6000U);
  EXPECT_EQ(count(a, 'I'), 5U) << "at 0 and every 120 s";
  EXPECT_EQ(count(b, 'I'), 0U);
  EXPECT_EQ(count(b, 'R'), 5U);
  EXPECT_LE(noise::CoreTestAccess::keypair_count(a.device()), 2U);
}

TEST_F(TimerConsequences, TenMinutesOfOneWayTrafficLoseNothing) {
  for (int i = 0; i < 6000; ++i) {
    send(b, a);
    run_for(100ms);
  }
  EXPECT_EQ(a.totals.delivered, 6000U);
  EXPECT_EQ(count(b, 'I'), 5U);
  EXPECT_EQ(count(a, 'I'), 0U);
}

TEST_F(TimerConsequences, ReceiverThatInitiatedRekeysAt165Seconds) {
  establish();  // a initiated; from now on only b sends
  for (int i = 0; i < 2000; ++i) {
    send(b, a);
    run_for(100ms);
  }
  EXPECT_EQ(a.totals.delivered, 2000U);
  ASSERT_EQ(count(a, 'I'), 1U);
  EXPECT_THAT(times(a, 'I').front() + established_age, IsWithin(120s, 165s + 200ms))
      << "by its own keepalives from 120 s on, by receipt at 165 s at the latest";
  EXPECT_EQ(count(b, 'I'), 0U);
}

}  // namespace
}  // namespace wgring::sim
