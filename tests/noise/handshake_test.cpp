#include "noise/handshake.hpp"

#include <gtest/gtest.h>

#include "tests/noise/handshake_slot.hpp"

namespace wgring::noise {
namespace {

using test::hex;

template <std::size_t N>
ByteArray<N> flipped(const ByteArray<N>& message, std::size_t bit) {
  ByteArray<N> changed = message;
  changed[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
  return changed;
}

TEST_F(HandshakeSlot, GivesBothSidesTheSameKeys) {
  const InitiationBytes initiation = pair.initiate();
  EXPECT_EQ(classify(initiation), MessageType::initiation);
  ASSERT_TRUE(Pair::accept(b, initiation, t0));
  EXPECT_EQ(b.handshake.remote_index(), 0x0a0a'0a0aU);
  const ResponseBytes response = pair.respond(b, 0x0b0b'0b0bU);
  EXPECT_EQ(classify(response), MessageType::response);
  EXPECT_EQ(load_le32(response.data() + ResponseLayout::receiver_index), 0x0a0a'0a0aU);
  EXPECT_EQ(b.handshake.state(), HandshakeState::created_response);
  ASSERT_TRUE(Pair::consume(a, response));
  EXPECT_EQ(a.handshake.remote_index(), 0x0b0b'0b0bU);
  EXPECT_TRUE(same_session(a.handshake.begin_session(), b.handshake.begin_session()));
  EXPECT_EQ(a.handshake.state(), HandshakeState::zeroed);
  EXPECT_EQ(b.handshake.state(), HandshakeState::zeroed);
  EXPECT_EQ(a.handshake.remote_index(), 0x0b0b'0b0bU);
}

TEST_F(HandshakeSlot, EverySessionHasItsOwnKeys) {
  std::string last;
  for (int i = 0; i < 3; ++i) {
    const auto offset = std::chrono::seconds{i};
    ASSERT_TRUE(Pair::accept(b, pair.initiate(wall_start + offset), t0 + offset));
    ASSERT_TRUE(Pair::consume(a, pair.respond(b, 2)));
    const TransportKeys ours = a.handshake.begin_session();
    EXPECT_TRUE(same_session(ours, b.handshake.begin_session()));
    EXPECT_NE(hex(ours.sending.view()), last);
    last = hex(ours.sending.view());
  }
}

TEST_F(HandshakeSlot, InitiationFlippedAnywhereIsRefused) {
  const InitiationBytes message = pair.initiate();
  static_cast<void>(pair.initiate(b, 3, wall_start));  // must stay pending meanwhile
  const test::Buffer before = b.image();
  // The type is for classify(), index and macs are for mac1.
  for (std::size_t bit = InitiationLayout::ephemeral * 8; bit < InitiationLayout::mac1 * 8; ++bit) {
    ASSERT_FALSE(Pair::accept(b, flipped(message, bit), t0)) << "bit " << bit;
    ASSERT_EQ(b.image(), before) << "bit " << bit;
  }
  EXPECT_TRUE(Pair::accept(b, message, t0));
}

// fault: tailscale-rs-334
TEST_F(HandshakeSlot, ResponseFlippedAnywhereIsRefused) {
  ASSERT_TRUE(Pair::accept(b, pair.initiate(), t0));
  const ResponseBytes message = pair.respond(b, 2);
  const test::Buffer before = a.image();
  for (std::size_t bit = ResponseLayout::ephemeral * 8; bit < ResponseLayout::mac1 * 8; ++bit) {
    ASSERT_FALSE(Pair::consume(a, flipped(message, bit))) << "bit " << bit;
    ASSERT_EQ(a.image(), before) << "bit " << bit;
  }
  ASSERT_TRUE(Pair::consume(a, message));
  EXPECT_TRUE(same_session(a.handshake.begin_session(), b.handshake.begin_session()));
}

TEST_F(HandshakeSlot, TimestampsMustRise) {
  const InitiationBytes first = initiate_stamped(stamp(5));
  ASSERT_TRUE(Pair::accept(b, first, t0));
  Instant now = t0;
  const auto later = [&] { return now += 1s; };
  expect_not_accepted(first, later(), "replayed");
  expect_not_accepted(initiate_stamped(stamp(5)), later(), "equal");
  expect_not_accepted(initiate_stamped(stamp(4)), later(), "older");
  expect_not_accepted(initiate_stamped(Timestamp{}), later(), "zero");
  EXPECT_TRUE(Pair::accept(b, initiate_stamped(stamp(6)), later()));
  EXPECT_EQ(hex(b.handshake.latest_timestamp()), hex(stamp(6)));

  b.handshake.clear();
  EXPECT_EQ(b.handshake.state(), HandshakeState::zeroed);
  expect_not_accepted(first, later(), "replayed after clear()");
  expect_not_accepted(initiate_stamped(stamp(6)), later(), "equal after clear()");
  EXPECT_TRUE(Pair::accept(b, initiate_stamped(stamp(7)), later()));
}

TEST_F(HandshakeSlot, ZeroTimestampIsNeverLater) {
  expect_not_accepted(initiate_stamped(Timestamp{}), t0, "first of all, but zero");
}

TEST_F(HandshakeSlot, GreatestTimestampLocksOutItsOwnPeerOnly) {
  Timestamp greatest{};
  greatest.fill(0xff);
  ASSERT_TRUE(Pair::accept(b, initiate_stamped(greatest), t0));
  expect_not_accepted(pair.initiate(), t0 + 1s, "below the greatest");

  Party other;
  other.local.set(secret_of(std::uint8_t{0x77}));
  other.remote.set_public_key(b.local.public_key());
  RemoteIdentity other_remote;
  other_remote.set_public_key(other.local.public_key());
  Handshake other_slot;
  auto opened = open_initiation(pair.initiate(other, 3, wall_start), b.local);
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ(opened->initiator(), other.local.public_key());
  EXPECT_TRUE(other_slot.accept_initiation(std::move(*opened), b.local, other_remote, t0));
}

TEST_F(HandshakeSlot, TwentyMillisecondsBetweenInitiations) {
  ASSERT_TRUE(Pair::accept(b, initiate_stamped(stamp(1)), t0));
  const InitiationBytes second = initiate_stamped(stamp(2));
  expect_not_accepted(second, t0, "at once");
  expect_not_accepted(second, t0 + 20ms - Duration{1}, "just before");
  b.handshake.clear();
  expect_not_accepted(second, t0 + 20ms - Duration{1}, "clear() does not shorten the gap");
  // What was refused neither counts nor prolongs.
  EXPECT_TRUE(Pair::accept(b, second, t0 + 20ms));
  EXPECT_TRUE(Pair::accept(b, initiate_stamped(stamp(3)), t0 + 40ms));
}

TEST_F(HandshakeSlot, FirstInitiationIsTakenAtTimeZero) {
  EXPECT_TRUE(Pair::accept(b, pair.initiate(), Instant{}));
}

TEST_F(HandshakeSlot, OwnTimestampsRiseThoughTheClockFalls) {
  ASSERT_TRUE(Pair::accept(b, pair.initiate(wall_start), t0));
  a.handshake.clear();
  ASSERT_TRUE(Pair::accept(b, pair.initiate(wall_start - 24h), t0 + 5s));
  ASSERT_TRUE(Pair::accept(b, pair.initiate(wall_start), t0 + 10s));
  ASSERT_TRUE(Pair::accept(b, pair.initiate(wall_start), t0 + 15s));
}

TEST_F(HandshakeSlot, WrongPresharedKeyIsRefusedAndTheRightOneStillWorks) {
  const crypto::Secret<32> psk = secret_of(std::uint8_t{0x50});
  a.remote.preshared_key = psk.clone();
  b.remote.preshared_key = psk.clone();
  Party wrong;
  wrong.local.set(b.local.private_key());
  wrong.remote.set_public_key(a.local.public_key());
  wrong.remote.preshared_key = secret_of(std::uint8_t{0x51});
  Party none;
  none.local.set(b.local.private_key());
  none.remote.set_public_key(a.local.public_key());

  const InitiationBytes message = pair.initiate();
  for (Party* party : {&wrong, &none}) {
    ASSERT_TRUE(Pair::accept(*party, message, t0));
    const ResponseBytes response = pair.respond(*party, 2);
    expect_refused(a, [&] { return Pair::consume(a, response); });
  }
  ASSERT_TRUE(Pair::accept(b, message, t0));
  ASSERT_TRUE(Pair::consume(a, pair.respond(b, 2)));
  EXPECT_TRUE(same_session(a.handshake.begin_session(), b.handshake.begin_session()));
}

TEST_F(HandshakeSlot, PresharedKeyIsInTheKeys) {
  std::string without;
  for (const std::uint8_t byte : {std::uint8_t{0}, std::uint8_t{0x50}}) {
    Pair fresh;
    fresh.initiator.remote.preshared_key = secret_of(byte);
    fresh.responder.remote.preshared_key = secret_of(byte);
    ASSERT_TRUE(Pair::accept(fresh.responder, fresh.initiate(), t0));
    ASSERT_TRUE(Pair::consume(fresh.initiator, fresh.respond(fresh.responder, 2)));
    const std::string key = hex(fresh.initiator.handshake.begin_session().sending.view());
    EXPECT_NE(key, without);
    without = key;
  }
}

TEST_F(HandshakeSlot, SpoofedResponseDoesNotBlockTheTrueOne) {
  const InitiationBytes initiation = pair.initiate();
  ASSERT_TRUE(Pair::accept(b, initiation, t0));
  ResponseBytes spoofed = pair.respond(b, 2);
  const ResponseBytes genuine = spoofed;
  static_cast<void>(pair.random.source()(MutableBytes{spoofed}.subspan(12, 48)));
  expect_refused(a, [&] { return Pair::consume(a, spoofed); }, "random");
  expect_refused(a, [&] { return Pair::consume(a, ResponseBytes{}); }, "zero");

  // A stranger that saw the initiation cannot even open it.
  Party stranger;
  stranger.local.set(secret_of(std::uint8_t{0x66}));
  stranger.remote.set_public_key(a.local.public_key());
  EXPECT_FALSE(open_initiation(initiation, stranger.local).has_value());
  ASSERT_TRUE(Pair::consume(a, genuine));
}

TEST_F(HandshakeSlot, ResponsesAreTakenInOneStateOnly) {
  const InitiationBytes initiation = pair.initiate();
  ASSERT_TRUE(Pair::accept(b, initiation, t0));
  const ResponseBytes response = pair.respond(b, 2);
  expect_refused(b, [&] { return Pair::consume(b, response); }, "its own, reflected");
  ASSERT_TRUE(Pair::consume(a, response));
  expect_refused(a, [&] { return Pair::consume(a, response); }, "again, before the session");
  static_cast<void>(a.handshake.begin_session());
  expect_refused(a, [&] { return Pair::consume(a, response); }, "again, after it");

  const ResponseBytes late = response;
  static_cast<void>(pair.initiate(wall_start + 5s));
  expect_refused(a, [&] { return Pair::consume(a, late); }, "to the initiation before");
  static_cast<void>(pair.initiate(wall_start + 10s));
  a.handshake.clear();
  expect_refused(a, [&] { return Pair::consume(a, late); }, "cleared");
}

TEST_F(HandshakeSlot, ResponsesAreMadeInOneStateOnly) {
  ResponseBytes message{};
  const auto respond = [&](Party& party) {
    return [&] {
      return party.handshake.create_response(message, 2, party.remote, pair.random.source());
    };
  };
  expect_refused(b, respond(b), "zeroed");
  ASSERT_TRUE(Pair::accept(b, pair.initiate(), t0));
  expect_refused(a, respond(a), "created_initiation");
  ASSERT_TRUE(respond(b)());
  expect_refused(b, respond(b), "created_response");
  ASSERT_TRUE(Pair::consume(a, message));
  expect_refused(a, respond(a), "consumed_response");
}

TEST_F(HandshakeSlot, CrossingInitiationsRefuseEachOthersResponses) {
  const InitiationBytes from_a = pair.initiate(a, 1, wall_start);
  const InitiationBytes from_b = pair.initiate(b, 2, wall_start);
  ASSERT_TRUE(Pair::accept(b, from_a, t0));
  ASSERT_TRUE(Pair::accept(a, from_b, t0));
  const ResponseBytes to_a = pair.respond(b, 3);
  const ResponseBytes to_b = pair.respond(a, 4);
  static_cast<void>(a.handshake.begin_session());
  static_cast<void>(b.handshake.begin_session());
  expect_refused(a, [&] { return Pair::consume(a, to_a); });
  expect_refused(b, [&] { return Pair::consume(b, to_b); });

  // The next retry gets through.
  ASSERT_TRUE(Pair::accept(b, pair.initiate(wall_start + 5s), t0 + 5s));
  ASSERT_TRUE(Pair::consume(a, pair.respond(b, 5)));
  EXPECT_TRUE(same_session(a.handshake.begin_session(), b.handshake.begin_session()));
}

TEST_F(HandshakeSlot, ReflectedInitiationIsNotOpened) {
  EXPECT_FALSE(open_initiation(pair.initiate(), a.local).has_value());
}

TEST_F(HandshakeSlot, NothingWithoutAnIdentity) {
  const InitiationBytes message = pair.initiate();
  ASSERT_TRUE(Pair::accept(b, message, t0));
  const ResponseBytes response = pair.respond(b, 2);
  const LocalIdentity absent;
  EXPECT_FALSE(open_initiation(message, absent).has_value());
  expect_refused(a, [&] { return a.handshake.consume_response(response, absent, a.remote); });
  InitiationBytes fresh{};
  expect_refused(a, [&] {
    return a.handshake.create_initiation(fresh, 1, absent, a.remote, wall_start,
                                         pair.random.source());
  });
  auto opened = open_initiation(pair.initiate(wall_start + 5s), b.local);
  ASSERT_TRUE(opened.has_value());
  expect_refused(b, [&] {
    return b.handshake.accept_initiation(std::move(*opened), absent, b.remote, t0 + 5s);
  });
}

TEST_F(HandshakeSlot, NothingWithoutEntropy) {
  InitiationBytes initiation{};
  const auto initiate = [&] {
    return a.handshake.create_initiation(initiation, 1, a.local, a.remote, wall_start,
                                         failing_entropy);
  };
  expect_refused(a, initiate, "zeroed");
  const InitiationBytes pending = pair.initiate();
  expect_refused(a, initiate, "an earlier one stays pending");
  EXPECT_EQ(hex(initiation), hex(InitiationBytes{}));

  ASSERT_TRUE(Pair::accept(b, pending, t0));
  ResponseBytes response{};
  expect_refused(
      b, [&] { return b.handshake.create_response(response, 2, b.remote, failing_entropy); });
  EXPECT_EQ(hex(response), hex(ResponseBytes{}));
  ASSERT_TRUE(Pair::consume(a, pair.respond(b, 2)));
}

TEST_F(HandshakeSlot, ClearLeavesNoSecrets) {
  Handshake untouched;
  static_cast<void>(pair.initiate());
  ASSERT_TRUE(Pair::accept(b, pair.initiate(), t0));
  for (Party* party : {&a, &b}) {
    party->handshake.clear();
    EXPECT_EQ(party->handshake.state(), HandshakeState::zeroed);
    EXPECT_EQ(party->handshake.remote_index(), 0U);
    const test::Buffer image = party->image();
    // Chain, transcript and both ephemerals stand first; what may stay stands behind them.
    EXPECT_TRUE(crypto::ct_is_zero(Bytes{image}.first(4 * 32)));
    EXPECT_FALSE(crypto::ct_is_zero(Bytes{image}.subspan(4 * 32)));
  }
}

}  // namespace
}  // namespace wgring::noise
