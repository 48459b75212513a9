// Messages that only an implementation of its own would send: low-order points in every DH, keys
// that are known because they are not there, another's name.
#include <gtest/gtest.h>

#include "tests/noise/handshake_slot.hpp"

namespace wgring::noise {
namespace {

using test::hex;

class ForgedHandshake : public HandshakeSlot {
 protected:
  // What the true responder knows after an initiation of `a`.
  SymmetricState chain_after(const InitiationBytes& initiation) {
    Attacker responder;
    responder.begin(b.local.public_key());
    SymmetricState& chain = responder.symmetric;
    const auto ephemeral = fixed<32>(Bytes{initiation}, InitiationLayout::ephemeral);
    chain.mix_hash(ephemeral);
    chain.mix_chain(ephemeral);
    crypto::Secret<32> key;
    EXPECT_TRUE(chain.mix_dh(key, b.local.private_key(), ephemeral));
    crypto::PublicKey initiator{};
    EXPECT_TRUE(chain.open_and_hash(initiator, Bytes{initiation}.subspan(40, 48), key));
    chain.mix_key(key, *b.remote.static_static(b.local));
    Timestamp timestamp{};
    EXPECT_TRUE(chain.open_and_hash(timestamp, Bytes{initiation}.subspan(88, 28), key));
    return std::move(chain);
  }
  // Whoever it says it is, it is `a`.
  void expect_session_with(Attacker& attacker) {
    attacker.static_public = a.local.public_key();
    ASSERT_TRUE(Pair::accept(b, attacker.initiation(b.local.public_key(), stamp(1)), t0));
    const ResponseBytes response = pair.respond(b, 2);
    SymmetricState& state = attacker.symmetric;
    const auto ephemeral = fixed<32>(Bytes{response}, ResponseLayout::ephemeral);
    state.mix_hash(ephemeral);
    state.mix_chain(ephemeral);
    crypto::Secret<32> key;
    ASSERT_TRUE(state.mix_dh(key, attacker.ephemeral_private, ephemeral));
    ASSERT_TRUE(state.mix_dh(key, attacker.static_private, ephemeral));
    state.mix_psk(key, crypto::Secret<32>{});
    EXPECT_TRUE(state.open_and_hash({}, Bytes{response}.subspan(44, 16), key));
    TransportKeys keys;
    state.split(keys.sending, keys.receiving);
    EXPECT_TRUE(same_session(keys, b.handshake.begin_session()));
  }
  // A response with given results of DH.
  static ResponseBytes made_up_response(const SymmetricState& chain,
                                        const crypto::PublicKey& ephemeral,
                                        const crypto::Secret<32>& ee,
                                        const crypto::Secret<32>& se) {
    SymmetricState state = chain.clone();
    ResponseBytes message{};
    const MutableBytesOf<ResponseLayout::size> at{message};
    copy_bytes(at.subspan<ResponseLayout::ephemeral, 32>(), ephemeral);
    state.mix_hash(ephemeral);
    state.mix_chain(ephemeral);
    crypto::Secret<32> key;
    state.mix_key(key, ee);
    state.mix_key(key, se);
    state.mix_psk(key, crypto::Secret<32>{});
    state.seal_and_hash(at.subspan<ResponseLayout::sealed_empty, 16>(), {}, key);
    return message;
  }
};

TEST_F(ForgedHandshake, StrangerWithOurKeyOnlyFailsAtTheTimestamp) {
  // Knows both public keys and claims to be `a`; lacks a's private key for the ss token.
  Attacker attacker;
  attacker.static_public = a.local.public_key();
  attacker.static_private = secret_of(std::uint8_t{0x12});
  const InitiationBytes message = attacker.initiation(b.local.public_key(), stamp(1));
  EXPECT_TRUE(open_initiation(message, b.local).has_value());
  expect_not_accepted(message, t0, "the timestamp's tag is wrong");
  attacker.static_private = secret_of(std::uint8_t{0x11});
  EXPECT_TRUE(Pair::accept(b, attacker.initiation(b.local.public_key(), stamp(1)), t0))
      << "the same by its owner";
}

TEST_F(ForgedHandshake, ResponseToAnEmptySlotCannotBeMadeUp) {
  // The chain of an empty slot is known to all: zero.
  Attacker attacker;
  const ResponseBytes message = made_up_response(
      SymmetricState{}, attacker.ephemeral, unchecked_dh(crypto::Secret<32>{}, attacker.ephemeral),
      unchecked_dh(attacker.ephemeral_private, a.local.public_key()));
  expect_refused(a, [&] { return Pair::consume(a, message); });
}

TEST_F(ForgedHandshake, ResponseToNobodyCannotBeMadeUp) {
  // The identity went while an initiation was out; its key is now known to all: zero.
  const InitiationBytes initiation = pair.initiate();
  Attacker attacker;
  const crypto::Secret<32> ee = unchecked_dh(
      attacker.ephemeral_private, fixed<32>(Bytes{initiation}, InitiationLayout::ephemeral));
  const crypto::Secret<32> se = unchecked_dh(crypto::Secret<32>{}, attacker.ephemeral);
  const ResponseBytes message =
      made_up_response(chain_after(initiation), attacker.ephemeral, ee, se);
  a.local.clear();
  expect_refused(a, [&] { return Pair::consume(a, message); });
}

TEST_F(ForgedHandshake, InitiationToNobodyCannotBeMadeUp) {
  // Nor are the keys of an absent identity secret.
  Attacker attacker;
  const LocalIdentity absent;
  const crypto::Secret<32> es = unchecked_dh(crypto::Secret<32>{}, attacker.ephemeral);
  const InitiationBytes message =
      attacker.initiation(crypto::PublicKey{}, &es, crypto::Secret<32>{}, stamp(1));
  EXPECT_FALSE(open_initiation(message, absent).has_value());
}

// --- DH results of zero: es, ss, ee, se (protocol section 9) ---

std::vector<crypto::PublicKey> all_low_order_points() {
  std::vector<crypto::PublicKey> points = low_order_points();
  const boost::json::value file = test::load_vectors("wycheproof_x25519_test");
  for (const auto& group : test::array_of(file.as_object(), "testGroups")) {
    for (const auto& value : test::array_of(group.as_object(), "tests")) {
      const auto& row = value.as_object();
      for (const auto& flag : test::array_of(row, "flags")) {
        if (flag.as_string() == "ZeroSharedSecret") {
          points.push_back(test::array_field<32>(row, "public"));
        }
      }
    }
  }
  return points;
}

TEST_F(ForgedHandshake, LowOrderPointsNeverReachTheKeySchedule) {
  const auto points = all_low_order_points();
  ASSERT_EQ(points.size(), 14U + 31U);
  for (const crypto::PublicKey& point : points) {
    Attacker attacker;
    attacker.begin(point);
    const std::string before = hex(attacker.symmetric.chaining_key());
    crypto::Secret<32> key;
    EXPECT_FALSE(attacker.symmetric.mix_dh(key, a.local.private_key(), point)) << hex(point);
    EXPECT_EQ(hex(attacker.symmetric.chaining_key()), before);
    EXPECT_TRUE(crypto::ct_is_zero(key.view()));
  }
}

TEST_F(ForgedHandshake, LowOrderStaticKeyOfAPeer) {
  for (const crypto::PublicKey& point : all_low_order_points()) {
    a.remote.set_public_key(point);
    InitiationBytes message{};
    expect_refused(
        a,
        [&] {
          return a.handshake.create_initiation(message, 1, a.local, a.remote, wall_start,
                                               pair.random.source());
        },
        hex(point));
    EXPECT_EQ(hex(message), hex(InitiationBytes{}));

    // ss on the other side: a message that is right in everything else.
    Attacker attacker;
    attacker.static_public = point;
    b.remote.set_public_key(point);
    const crypto::Secret<32> es = unchecked_dh(attacker.ephemeral_private, b.local.public_key());
    auto opened = open_initiation(
        attacker.initiation(b.local.public_key(), &es, crypto::Secret<32>{}, stamp(1)), b.local);
    ASSERT_TRUE(opened.has_value());
    ASSERT_EQ(opened->initiator(), point);
    expect_refused(
        b, [&] { return b.handshake.accept_initiation(std::move(*opened), b.local, b.remote, t0); },
        hex(point));
  }
}

TEST_F(ForgedHandshake, LowOrderEphemeralOfAnInitiation) {
  Attacker attacker;
  attacker.static_public = a.local.public_key();
  for (const crypto::PublicKey& point : all_low_order_points()) {
    attacker.ephemeral = point;
    const crypto::Secret<32> zero;
    const crypto::Secret<32> ss = unchecked_dh(attacker.static_private, b.local.public_key());
    for (const crypto::Secret<32>* es : {&zero, static_cast<const crypto::Secret<32>*>(nullptr)}) {
      const InitiationBytes message = attacker.initiation(b.local.public_key(), es, ss, stamp(1));
      EXPECT_FALSE(open_initiation(message, b.local).has_value()) << hex(point);
    }
  }
}

TEST_F(ForgedHandshake, LowOrderStaticKeyWhenResponding) {
  ASSERT_TRUE(Pair::accept(b, pair.initiate(), t0));
  for (const crypto::PublicKey& point : all_low_order_points()) {
    RemoteIdentity remote;
    remote.set_public_key(point);
    ResponseBytes message{};
    expect_refused(
        b, [&] { return b.handshake.create_response(message, 2, remote, pair.random.source()); },
        hex(point));
  }
  ASSERT_TRUE(Pair::consume(a, pair.respond(b, 2)));
}

// fault: wireguard-go-zero-dh
TEST_F(ForgedHandshake, LowOrderEphemeralOfAResponse) {
  // The attacker is the true responder, for only it knows the chain so far: it would drag both
  // sides to keys that any eavesdropper of the initiation's secrets could compute.
  const InitiationBytes initiation = pair.initiate();
  const SymmetricState chain = chain_after(initiation);
  for (const crypto::PublicKey& point : all_low_order_points()) {
    const crypto::Secret<32> zero;
    const ResponseBytes message = made_up_response(chain, point, zero, zero);
    expect_refused(a, [&] { return Pair::consume(a, message); }, hex(point));
  }
  ASSERT_TRUE(Pair::accept(b, initiation, t0));
  EXPECT_TRUE(Pair::consume(a, pair.respond(b, 2)));
}

TEST_F(ForgedHandshake, TopBitOfAnEphemeralIsIgnored) {  // H22
  Attacker attacker;                                     // honest this time
  attacker.ephemeral[31] |= 0x80U;
  expect_session_with(attacker);
}

TEST_F(ForgedHandshake, NonCanonicalEphemeralInteroperates) {  // H22
  // Minus one, modulo the order of the base point, in five rounds: the public key is 9 again. It
  // is written as 2^255 - 19 + 9.
  Attacker attacker;
  attacker.ephemeral_private = secret_of(
      test::unhex_array<32>("a023cdd083ef5bb82f10d62e59e15a6800000000000000000000000000000050"));
  crypto::PublicKey canonical{};
  crypto::x25519_public(canonical, attacker.ephemeral_private.view());
  ASSERT_EQ(hex(canonical), "09" + std::string(62, '0'));
  attacker.ephemeral.fill(0xff);
  attacker.ephemeral.front() = 0xf6;
  attacker.ephemeral.back() = 0x7f;
  expect_session_with(attacker);
}

}  // namespace
}  // namespace wgring::noise
