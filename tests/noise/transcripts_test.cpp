// Four handshakes and eighteen data packets recorded from the kernel's implementation, reproduced
// byte for byte in both roles (tests/vectors/wireguard_transcripts.json).
#include <gtest/gtest.h>

#include "crypto/aead.hpp"
#include "noise/constants.hpp"
#include "tests/noise/handshake_pair.hpp"

namespace wgring::noise {
namespace {

using boost::json::object;
using test::array_field;
using test::bytes_of;
using test::hex;
using test::text_of;

std::vector<object> sessions() {
  static const boost::json::value file = test::load_vectors("wireguard_transcripts");
  std::vector<object> found;
  for (const auto& session : test::array_of(file.as_object(), "sessions")) {
    found.push_back(session.as_object());
  }
  return found;
}

std::uint32_t index_of(const object& session, std::string_view key) {
  return load_le32(array_field<4>(session, key).data());
}

crypto::Secret<32> secret_field(const object& session, std::string_view key) {
  return secret_of(array_field<32>(session, key));
}

void give_keys(Pair& pair, const object& session) {
  pair.initiator.local.set(secret_field(session, "initiator_static_private"));
  pair.responder.local.set(secret_field(session, "responder_static_private"));
  introduce(pair.initiator, pair.responder);
  pair.initiator.remote.preshared_key = secret_field(session, "preshared_key");
  pair.responder.remote.preshared_key = secret_field(session, "preshared_key");
}

bool contains(const test::Buffer& image, const test::Buffer& value) {
  return std::search(image.begin(), image.end(), value.begin(), value.end()) != image.end();
}

class Transcript : public testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override { give_keys(pair, session); }

  const object session = sessions().at(GetParam());
  const object steps = session.at("intermediate").as_object();
  Pair pair;
};

TEST_P(Transcript, InitiationByteForByte) {
  Party& initiator = pair.initiator;
  EXPECT_EQ(hex(initiator.local.public_key()), text_of(session, "initiator_static_public"));
  ScriptedEntropy entropy(bytes_of(session, "initiator_ephemeral_private"));
  InitiationBytes message{};
  ASSERT_TRUE(initiator.handshake.create_initiation_stamped(
      message, index_of(session, "initiator_index"), initiator.local, initiator.remote,
      array_field<12>(session, "timestamp"), entropy.source()));
  initiator.jar.add_macs(message, initiator.remote, start_of_time);
  EXPECT_EQ(hex(message), text_of(session, "initiation"));
  EXPECT_EQ(entropy.left(), 0U);
  EXPECT_EQ(initiator.handshake.state(), HandshakeState::created_initiation);
  EXPECT_TRUE(contains(initiator.image(), bytes_of(steps, "c_ss")));
  EXPECT_TRUE(contains(initiator.image(), bytes_of(steps, "h_timestamp")));
}

TEST_P(Transcript, ResponseByteForByte) {
  Party& responder = pair.responder;
  EXPECT_EQ(hex(responder.local.public_key()), text_of(session, "responder_static_public"));
  const auto initiation = array_field<148>(session, "initiation");
  EXPECT_TRUE(mac1_valid(initiation, responder.local));
  EXPECT_FALSE(mac1_valid(initiation, pair.initiator.local));
  auto opened = open_initiation(initiation, responder.local);
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ(hex(opened->initiator()), text_of(session, "initiator_static_public"));
  ASSERT_TRUE(responder.handshake.accept_initiation(std::move(*opened), responder.local,
                                                    responder.remote, start_of_time));
  EXPECT_EQ(responder.handshake.state(), HandshakeState::consumed_initiation);
  EXPECT_EQ(responder.handshake.remote_index(), index_of(session, "initiator_index"));
  EXPECT_EQ(hex(responder.handshake.latest_timestamp()), text_of(session, "timestamp"));

  ScriptedEntropy entropy(bytes_of(session, "responder_ephemeral_private"));
  ResponseBytes message{};
  ASSERT_TRUE(responder.handshake.create_response(message, index_of(session, "responder_index"),
                                                  responder.remote, entropy.source()));
  responder.jar.add_macs(message, responder.remote, start_of_time);
  EXPECT_EQ(hex(message), text_of(session, "response"));
  EXPECT_TRUE(contains(responder.image(), bytes_of(steps, "c_psk")));
  EXPECT_TRUE(contains(responder.image(), bytes_of(steps, "h_final")));

  const TransportKeys keys = responder.handshake.begin_session();
  EXPECT_EQ(hex(keys.receiving.view()), text_of(steps, "t_initiator_to_responder"));
  EXPECT_EQ(hex(keys.sending.view()), text_of(steps, "t_responder_to_initiator"));
  EXPECT_EQ(responder.handshake.state(), HandshakeState::zeroed);
  EXPECT_FALSE(contains(responder.image(), bytes_of(steps, "c_psk")));
  EXPECT_FALSE(contains(responder.image(), bytes_of(steps, "h_final")));
  EXPECT_FALSE(contains(responder.image(), bytes_of(session, "initiator_ephemeral_public")));
}

TEST_P(Transcript, RecordedResponseIsConsumed) {
  Party& initiator = pair.initiator;
  // Random bytes are not clamped; what was recorded, and is kept, is.
  const test::Buffer ephemeral = bytes_of(session, "initiator_ephemeral_private");
  test::Buffer unclamped = ephemeral;
  unclamped.front() |= 7;
  unclamped.back() ^= 0xc0;
  ScriptedEntropy entropy(unclamped);
  InitiationBytes message{};
  ASSERT_TRUE(initiator.handshake.create_initiation_stamped(
      message, index_of(session, "initiator_index"), initiator.local, initiator.remote,
      array_field<12>(session, "timestamp"), entropy.source()));
  EXPECT_TRUE(contains(initiator.image(), ephemeral));

  const auto response = array_field<92>(session, "response");
  EXPECT_TRUE(mac1_valid(response, initiator.local));
  ASSERT_TRUE(Pair::consume(initiator, response));
  EXPECT_EQ(initiator.handshake.state(), HandshakeState::consumed_response);
  EXPECT_EQ(initiator.handshake.remote_index(), index_of(session, "responder_index"));
  EXPECT_FALSE(contains(initiator.image(), ephemeral));
  EXPECT_TRUE(contains(initiator.image(), bytes_of(steps, "c_psk")));

  const TransportKeys keys = initiator.handshake.begin_session();
  EXPECT_EQ(hex(keys.sending.view()), text_of(steps, "t_initiator_to_responder"));
  EXPECT_EQ(hex(keys.receiving.view()), text_of(steps, "t_responder_to_initiator"));
  EXPECT_FALSE(contains(initiator.image(), bytes_of(steps, "c_psk")));
}

TEST_P(Transcript, EveryStepOfTheKeySchedule) {
  SymmetricState state;
  const auto chain_is = [&](std::string_view key) {
    EXPECT_EQ(hex(state.chaining_key()), text_of(steps, key)) << key;
  };
  const auto transcript_is = [&](std::string_view key) {
    EXPECT_EQ(hex(state.transcript()), text_of(steps, key)) << key;
  };
  const auto key_is = [&](const crypto::Secret<32>& key, std::string_view name) {
    EXPECT_EQ(hex(key.view()), text_of(steps, name)) << name;
  };
  const std::string_view name = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
  const std::string_view prologue = "WireGuard v1 zx2c4 Jason@zx2c4.com";
  state.start({reinterpret_cast<const std::uint8_t*>(name.data()), name.size()},
              {reinterpret_cast<const std::uint8_t*>(prologue.data()), prologue.size()});
  chain_is("c_construction");
  transcript_is("h_identifier");

  const auto initiator_static = array_field<32>(session, "initiator_static_public");
  const auto responder_static = array_field<32>(session, "responder_static_public");
  const auto initiator_private = secret_field(session, "initiator_static_private");
  const auto initiator_ephemeral = secret_field(session, "initiator_ephemeral_private");
  const auto initiator_ephemeral_public = array_field<32>(session, "initiator_ephemeral_public");
  const auto responder_ephemeral = array_field<32>(session, "responder_ephemeral_public");
  state.mix_hash(responder_static);
  transcript_is("h_responder_static");
  state.mix_hash(initiator_ephemeral_public);
  state.mix_chain(initiator_ephemeral_public);
  transcript_is("h_e");
  chain_is("c_e");

  crypto::Secret<32> key;
  ASSERT_TRUE(state.mix_dh(key, initiator_ephemeral, responder_static));
  chain_is("c_es");
  key_is(key, "k_static");
  ByteArray<48> sealed_static{};
  state.seal_and_hash(sealed_static, initiator_static, key);
  transcript_is("h_static");
  ASSERT_TRUE(state.mix_dh(key, initiator_private, responder_static));
  chain_is("c_ss");
  key_is(key, "k_timestamp");
  ByteArray<28> sealed_timestamp{};
  state.seal_and_hash(sealed_timestamp, array_field<12>(session, "timestamp"), key);
  transcript_is("h_timestamp");

  state.mix_hash(responder_ephemeral);
  state.mix_chain(responder_ephemeral);
  transcript_is("h_re");
  chain_is("c_re");
  ASSERT_TRUE(state.mix_dh(key, initiator_ephemeral, responder_ephemeral));
  chain_is("c_ee");
  ASSERT_TRUE(state.mix_dh(key, initiator_private, responder_ephemeral));
  chain_is("c_se");
  state.mix_psk(key, secret_field(session, "preshared_key"));
  chain_is("c_psk");
  transcript_is("h_psk");
  key_is(key, "k_empty");
  ByteArray<16> sealed_empty{};
  state.seal_and_hash(sealed_empty, {}, key);
  transcript_is("h_final");
}

TEST_P(Transcript, MacKeys) {
  const auto initiator = array_field<32>(session, "initiator_static_public");
  const auto responder = array_field<32>(session, "responder_static_public");
  EXPECT_EQ(hex(mac_keys_of(initiator).mac1), text_of(steps, "mac1_key_initiator"));
  EXPECT_EQ(hex(mac_keys_of(responder).mac1), text_of(steps, "mac1_key_responder"));
}

TEST_P(Transcript, DataPacketsOpenAndSealByteForByte) {
  for (const auto& value : test::array_of(session, "data")) {
    const object& data = value.as_object();
    const test::Buffer packet = bytes_of(data, "packet");
    const test::Buffer plain = bytes_of(data, "plaintext");
    SCOPED_TRACE(data.at("frame").as_int64());
    const auto key = array_field<32>(steps, "t_" + text_of(data, "direction"));
    const auto counter = static_cast<std::uint64_t>(data.at("counter").as_int64());
    ASSERT_EQ(classify(packet), MessageType::data);
    EXPECT_EQ(load_le64(packet.data() + DataLayout::counter), counter);
    ASSERT_EQ(packet.size(), plain.size() + DataLayout::overhead_bytes);

    for (const crypto::Aead* aead : {&crypto::aead_boringssl(), &crypto::aead_sodium()}) {
      SCOPED_TRACE(aead->name);
      test::Buffer opened(plain.size() + 1);
      crypto::OpenSegment open{.sealed = packet.data() + DataLayout::sealed,
                               .plain = opened.data(),
                               .sealed_bytes = packet.size() - DataLayout::sealed,
                               .counter = counter,
                               .opened = false};
      aead->open(key, {&open, 1});
      EXPECT_TRUE(open.opened);
      EXPECT_EQ(hex(Bytes{opened}.first(plain.size())), hex(plain));
      test::Buffer sealed(packet.size() - DataLayout::sealed);
      const crypto::SealSegment seal{.plain = plain.data(),
                                     .sealed = sealed.data(),
                                     .plain_bytes = plain.size(),
                                     .counter = counter};
      aead->seal(key, {&seal, 1});
      EXPECT_EQ(hex(sealed), hex(Bytes{packet}.subspan(DataLayout::sealed)));
    }

    // Protocol section 15: zeroes up to a multiple of 16, but never past the MTU.
    const auto inner = static_cast<std::size_t>(data.at("inner_ip_length").as_int64());
    const std::size_t padded = (inner + padding_multiple - 1) / padding_multiple * padding_multiple;
    EXPECT_EQ(plain.size(), std::min<std::size_t>(padded, mtu_default));
    EXPECT_TRUE(crypto::ct_is_zero(Bytes{plain}.subspan(inner)));
    EXPECT_EQ(data.at("keepalive").as_bool(), inner == 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Recorded, Transcript, testing::Range<std::size_t>(0, 4));

TEST(Transcripts, AreAllThere) {
  std::size_t packets = 0;
  for (const object& session : sessions()) {
    packets += test::array_of(session, "data").size();
  }
  EXPECT_EQ(sessions().size(), 4U);
  EXPECT_EQ(packets, 18U);
}

TEST(Transcripts, KeysThatDifferInClampedBitsAreOne) {
  const boost::json::value file = test::load_vectors("wireguard_transcripts");
  const auto& aliases = test::array_of(file.as_object(), "unclamped_aliases");
  ASSERT_EQ(aliases.size(), 2U);
  for (const auto& value : aliases) {
    const object& alias = value.as_object();
    LocalIdentity local;
    const auto private_key = array_field<32>(alias, "private");
    local.set(secret_of(private_key));
    EXPECT_EQ(hex(local.public_key()), text_of(alias, "public"));
    EXPECT_NE(hex(local.private_key().view()), hex(private_key));
    EXPECT_EQ(local.private_key().view()[0] & 7U, 0U);
    EXPECT_EQ(local.private_key().view()[31] & 0xc0U, 0x40U);
  }
}

}  // namespace
}  // namespace wgring::noise
