// Protocol 10: previous, current and next, from a host's point of view. The other end is a raw
// peer, which keeps the sessions it wants to speak under.
#include <algorithm>

#include "tests/sim/raw_pair.hpp"

namespace wgring::sim {
namespace {

using noise::CoreTestAccess;
using noise::Drop;
using noise::no_keypair;

class Rotation : public RawPair {
 protected:
  [[nodiscard]] const noise::KeypairSet& keypairs() { return raw_at_host().keypairs; }
  // The host answers our initiation; the session is its `next`.
  RawSession as_responder() {
    run_for(20ms);
    raw.give(raw.initiation());
    EXPECT_TRUE(raw.consume(sent_to(world, raw.address, 'R').back()));
    return take_session();
  }
  // The host initiates, because its key is made unusable or there is none.
  RawSession as_initiator() {
    run_for(5s);
    if (noise::Keypair* const current = CoreTestAccess::keypair(a.device(), keypairs().current)) {
      current->sending_valid = false;
    }
    send_to_raw();
    const std::vector<Datagram> initiations = sent_to(world, raw.address, 'I');
    EXPECT_FALSE(initiations.empty());
    const auto response = raw.response(initiations.back());
    EXPECT_TRUE(response.has_value());
    raw.give(*response);
    return take_session();
  }
  RawSession take_session() {
    RawSession taken{.keys = {raw.session.keys.sending.clone(), raw.session.keys.receiving.clone()},
                     .local_index = raw.session.local_index,
                     .remote_index = raw.session.remote_index};
    return taken;
  }
  void speak_under(const RawSession& session) {
    raw.session = {.keys = {session.keys.sending.clone(), session.keys.receiving.clone()},
                   .local_index = session.local_index,
                   .remote_index = session.remote_index};
  }
  // True when the host took a keepalive of this session.
  bool is_heard(const RawSession& session, std::uint64_t counter) {
    speak_under(session);
    const std::uint64_t before = bytes_received();
    raw.give(raw.data(counter, {}));
    return bytes_received() == before + 32;
  }
  std::uint64_t bytes_received() { return status(a).rx_bytes; }
  // The session that the host seals under now.
  std::uint32_t sends_under() {
    const std::size_t before = world.log.size();
    send_to_raw();
    EXPECT_EQ(world.log.size(), before + 1);
    return world.log.back().receiver_index();
  }
};

TEST_F(Rotation, InitiatorWithoutAnythingBefore) {
  const RawSession first = as_initiator();
  EXPECT_NE(keypairs().current, no_keypair);
  EXPECT_EQ(keypairs().previous, no_keypair);
  EXPECT_EQ(keypairs().next, no_keypair);
  EXPECT_EQ(sends_under(), first.local_index);
}

TEST_F(Rotation, InitiatorWithoutNextKeepsCurrentAsPrevious) {
  const RawSession first = as_initiator();
  const RawSession second = as_initiator();
  EXPECT_EQ(sends_under(), second.local_index);
  EXPECT_TRUE(is_heard(first, 0)) << "previous is received under";
  EXPECT_TRUE(is_heard(second, 0));
  const RawSession third = as_initiator();
  EXPECT_FALSE(is_heard(first, 1)) << "the old previous is destroyed";
  EXPECT_TRUE(is_heard(second, 1));
  EXPECT_TRUE(is_heard(third, 0));
  EXPECT_EQ(CoreTestAccess::keypair_count(a.device()), 2U);
}

TEST_F(Rotation, InitiatorWithNextKeepsNextAsPreviousAndDestroysCurrent) {
  const RawSession first = as_initiator();
  const RawSession waiting = as_responder();
  ASSERT_NE(keypairs().next, no_keypair);
  const RawSession fresh = as_initiator();
  EXPECT_EQ(keypairs().next, no_keypair);
  EXPECT_FALSE(is_heard(first, 5)) << "old current is destroyed";
  EXPECT_TRUE(is_heard(waiting, 0)) << "next became previous";
  EXPECT_EQ(sends_under(), fresh.local_index);
}

TEST_F(Rotation, ResponderHoldsTheNewOneAsNext) {
  const RawSession first = as_initiator();
  const RawSession waiting = as_responder();
  EXPECT_EQ(sends_under(), first.local_index) << "never sent under before it is confirmed";
  EXPECT_NE(keypairs().next, no_keypair);
  EXPECT_TRUE(is_heard(waiting, 0));
  EXPECT_EQ(keypairs().next, no_keypair);
  EXPECT_EQ(sends_under(), waiting.local_index);
  EXPECT_TRUE(is_heard(first, 3)) << "current became previous";
}

TEST_F(Rotation, ResponderDestroysPreviousAndAnUnconfirmedNext) {
  const RawSession first = as_initiator();
  const RawSession second = as_initiator();
  const RawSession third = as_responder();
  EXPECT_FALSE(is_heard(first, 0)) << "previous is destroyed";
  const RawSession fourth = as_responder();
  EXPECT_FALSE(is_heard(third, 0)) << "the old next is destroyed";
  EXPECT_TRUE(is_heard(second, 0));
  EXPECT_TRUE(is_heard(fourth, 0));
}

TEST_F(Rotation, ResponderWithoutCurrentHoldsItsDataUntilConfirmation) {
  const RawSession waiting = as_responder();
  send_to_raw();
  EXPECT_TRUE(sent_to(world, raw.address, 'D').empty());
  EXPECT_TRUE(is_heard(waiting, 0));
  ASSERT_EQ(sent_to(world, raw.address, 'D').size(), 1U);
  EXPECT_TRUE(raw.open(sent_to(world, raw.address, 'D').back()).has_value());
}

TEST_F(Rotation, ForgedDataUnderNextDoesNotConfirm) {  // H55
  as_responder();
  Datagram forged = raw.keepalive();
  forged.bytes.back() ^= 1;
  raw.give(forged);
  EXPECT_NE(keypairs().next, no_keypair);
  EXPECT_EQ(keypairs().current, no_keypair);
  EXPECT_EQ(drops(a, Drop::bad_tag), 1U);
}

TEST_F(Rotation, DataUnderNextConfirmsBeforeAnythingElse) {  // H54
  as_responder();
  raw.give(raw.data(raw.inner()));
  EXPECT_EQ(world.foreign.size(), 1U);
  EXPECT_NE(keypairs().current, no_keypair);
}

TEST_F(Rotation, EachKeypairHasItsOwnReplayWindow) {
  const RawSession first = as_initiator();
  EXPECT_TRUE(is_heard(first, 10));
  const RawSession second = as_initiator();
  EXPECT_TRUE(is_heard(second, 10));
  EXPECT_TRUE(is_heard(first, 9));
  EXPECT_FALSE(is_heard(first, 10));
  EXPECT_EQ(drops(a, Drop::replayed), 1U);
}

TEST_F(Rotation, DataUnderPreviousIsDelivered) {  // H52
  const RawSession first = as_initiator();
  as_initiator();
  speak_under(first);
  raw.give(raw.data(0, raw.inner()));
  EXPECT_EQ(world.foreign.size(), 1U);
}

TEST_F(Rotation, EachKeypairIsAsOldAsItsOwnBirth) {
  const RawSession first = as_responder();
  ASSERT_TRUE(is_heard(first, 0));
  run_for(100s);
  const RawSession second = as_responder();
  ASSERT_TRUE(is_heard(second, 0));
  run_for(180s - 100s - 20ms - 1ms);
  EXPECT_TRUE(is_heard(first, 1)) << "179.999 s";  // H53
  run_for(1ms);
  EXPECT_FALSE(is_heard(first, 2)) << "180.000 s";
  EXPECT_EQ(drops(a, Drop::expired_key), 1U);
  EXPECT_TRUE(is_heard(second, 1));
}

// fault: tailscale-rs-333
TEST_F(Rotation, ManyUnconfirmedInitiationsKeepIndicesBounded) {  // H33
  raw.establish();
  for (int i = 0; i < 10'000; ++i) {
    run_for(20ms);
    raw.give(raw.initiation());
    ASSERT_LE(CoreTestAccess::index_count(a.device()), 3U);
    ASSERT_LE(CoreTestAccess::keypair_count(a.device()), 2U);
  }
  EXPECT_EQ(sent_to(world, raw.address, 'R').size(), 10'001U);
}

TEST_F(Rotation, IndicesAreUnpredictable) {
  std::vector<std::uint32_t> seen;
  for (int i = 0; i < 64; ++i) {
    as_responder();
    seen.push_back(raw.session.remote_index);
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
  EXPECT_GT(seen.back() - seen.front(), 0x8000'0000U) << "spread over all 32 bits";
}

}  // namespace
}  // namespace wgring::sim
