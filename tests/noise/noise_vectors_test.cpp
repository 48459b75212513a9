// Published Noise vectors run through the steps the handshake is made of: other prologues, other
// payloads, the same SymmetricState.
#include <optional>

#include <gtest/gtest.h>

#include "crypto/aead.hpp"
#include "tests/noise/handshake_pair.hpp"

namespace wgring::noise {
namespace {

using boost::json::object;
using test::array_field;
using test::bytes_of;
using test::hex;
using test::text_of;

constexpr std::string_view ik = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
constexpr std::string_view ikpsk2 = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";

struct KeyPair {
  crypto::Secret<32> private_key;
  crypto::PublicKey public_key{};
};

KeyPair key_pair(const object& vector, std::string_view key) {
  KeyPair pair{.private_key = secret_of(array_field<32>(vector, key))};
  crypto::x25519_public(pair.public_key, pair.private_key.view());
  return pair;
}

// One side of IK or IKpsk2. Its partner's keys are what it has learnt, not what the vector says.
struct Side {
  SymmetricState state;
  crypto::Secret<32> key;
  std::optional<crypto::Secret<32>> psk;  // none: plain IK

  void begin(const object& vector, std::string_view role, const crypto::PublicKey& responder) {
    const std::string name = text_of(vector, "protocol_name");
    const std::string prefix(role);
    state.start({reinterpret_cast<const std::uint8_t*>(name.data()), name.size()},
                bytes_of(vector, prefix + "_prologue"));
    state.mix_hash(responder);
    if (name == ikpsk2) {
      const auto& psks = test::array_of(vector, prefix + "_psks");
      psk = secret_of(test::unhex_array<32>(std::string_view(psks.at(0).as_string())));
    }
  }
  void mix_ephemeral(BytesOf<32> ephemeral) {
    state.mix_hash(ephemeral);
    if (psk) {
      state.mix_chain(ephemeral);
    }
  }
  void dh(const crypto::Secret<32>& private_key, BytesOf<32> public_key) {
    ASSERT_TRUE(state.mix_dh(key, private_key, public_key));
  }
  void mix_psk() {
    if (psk) {
      state.mix_psk(key, *psk);
    }
  }
  test::Buffer seal(Bytes plain) {
    test::Buffer sealed(plain.size() + crypto::tag_bytes);
    state.seal_and_hash(sealed, plain, key);
    return sealed;
  }
  test::Buffer open(Bytes sealed) {
    test::Buffer plain(sealed.size() - crypto::tag_bytes);
    EXPECT_TRUE(state.open_and_hash(plain, sealed, key));
    return plain;
  }
};

test::Buffer operator+(test::Buffer a, const test::Buffer& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
test::Buffer buffer(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

const object& message(const object& vector, std::size_t i) {
  return test::array_of(vector, "messages").at(i).as_object();
}

// e, es, s, ss: both write and read, both must agree with the vector.
void first_message(const object& vector, Side& initiator, Side& responder) {
  const KeyPair static_key = key_pair(vector, "init_static");
  const KeyPair ephemeral = key_pair(vector, "init_ephemeral");
  const KeyPair remote = key_pair(vector, "resp_static");
  if (vector.contains("init_remote_static")) {
    EXPECT_EQ(hex(remote.public_key), text_of(vector, "init_remote_static"));
  }
  initiator.begin(vector, "init", remote.public_key);
  initiator.mix_ephemeral(ephemeral.public_key);
  initiator.dh(ephemeral.private_key, remote.public_key);
  const test::Buffer sealed_static = initiator.seal(static_key.public_key);
  initiator.dh(static_key.private_key, remote.public_key);
  const test::Buffer payload = bytes_of(message(vector, 0), "payload");
  const test::Buffer written =
      buffer(ephemeral.public_key) + sealed_static + initiator.seal(payload);
  EXPECT_EQ(hex(written), text_of(message(vector, 0), "ciphertext"));

  const Bytes wire{written};
  responder.begin(vector, "resp", remote.public_key);
  responder.mix_ephemeral(fixed<32>(wire));
  responder.dh(remote.private_key, fixed<32>(wire));
  const test::Buffer learnt = responder.open(wire.subspan(32, 48));
  EXPECT_EQ(hex(learnt), hex(static_key.public_key));
  responder.dh(remote.private_key, fixed<32>(Bytes{learnt}));
  EXPECT_EQ(hex(responder.open(wire.subspan(80))), hex(payload));
  EXPECT_EQ(hex(initiator.state.transcript()), hex(responder.state.transcript()));
}

// e, ee, se, psk
void second_message(const object& vector, Side& initiator, Side& responder) {
  const KeyPair static_key = key_pair(vector, "init_static");
  const KeyPair initiator_ephemeral = key_pair(vector, "init_ephemeral");
  const KeyPair ephemeral = key_pair(vector, "resp_ephemeral");
  responder.mix_ephemeral(ephemeral.public_key);
  responder.dh(ephemeral.private_key, initiator_ephemeral.public_key);
  responder.dh(ephemeral.private_key, static_key.public_key);
  responder.mix_psk();
  const test::Buffer payload = bytes_of(message(vector, 1), "payload");
  const test::Buffer written = buffer(ephemeral.public_key) + responder.seal(payload);
  EXPECT_EQ(hex(written), text_of(message(vector, 1), "ciphertext"));

  const Bytes wire{written};
  initiator.mix_ephemeral(fixed<32>(wire));
  initiator.dh(initiator_ephemeral.private_key, fixed<32>(wire));
  initiator.dh(static_key.private_key, fixed<32>(wire));
  initiator.mix_psk();
  EXPECT_EQ(hex(initiator.open(wire.subspan(32))), hex(payload));
  EXPECT_EQ(hex(initiator.state.transcript()), hex(responder.state.transcript()));
  if (vector.contains("handshake_hash")) {
    EXPECT_EQ(hex(initiator.state.transcript()), text_of(vector, "handshake_hash"));
  }
}

void transport(const object& vector, const Side& side) {
  crypto::Secret<32> keys[2];
  side.state.split(keys[0], keys[1]);
  std::uint64_t counters[2] = {};
  for (std::size_t i = 2; i < test::array_of(vector, "messages").size(); ++i) {
    const test::Buffer payload = bytes_of(message(vector, i), "payload");
    test::Buffer sealed(payload.size() + crypto::tag_bytes);
    crypto::aead_seal(sealed, payload, {}, keys[i % 2].view(), counters[i % 2]++);
    EXPECT_EQ(hex(sealed), text_of(message(vector, i), "ciphertext")) << "message " << i;
  }
}

TEST(NoiseVectors, AllOfThemInBothRoles) {
  const boost::json::value file = test::load_vectors("noise_ik_ikpsk2_25519_chachapoly_blake2s");
  std::size_t plain = 0;
  std::size_t with_psk = 0;
  for (const auto& value : test::array_of(file.as_object(), "vectors")) {
    const object& vector = value.as_object();
    const std::string name = text_of(vector, "protocol_name");
    SCOPED_TRACE(text_of(vector, "source") + " " + name);
    plain += name == ik ? 1U : 0U;
    with_psk += name == ikpsk2 ? 1U : 0U;
    Side initiator;
    Side responder;
    first_message(vector, initiator, responder);
    second_message(vector, initiator, responder);
    transport(vector, initiator);
    transport(vector, responder);
    ASSERT_GT(test::array_of(vector, "messages").size(), 2U);
  }
  EXPECT_EQ(plain, 7U);
  EXPECT_EQ(with_psk, 5U);
}

}  // namespace
}  // namespace wgring::noise
