// Published answers for ChaCha20-Poly1305, with every backend, and for XChaCha20-Poly1305.
#include <algorithm>

#include <gtest/gtest.h>

#include "crypto/aead.hpp"
#include "crypto/aead_raw.hpp"
#include "crypto/blake2s.hpp"
#include "crypto/xaead.hpp"
#include "tests/crypto/backends.hpp"
#include "tests/support/json_vectors.hpp"

namespace wgring::crypto {
namespace {

using test::array_field;
using test::array_of;
using test::bytes_of;
using test::text_of;

struct Case {
  explicit Case(const boost::json::object& json)
      : id(json.at("tcId").as_int64()),
        key(array_field<32>(json, "key")),
        iv(bytes_of(json, "iv")),
        aad(bytes_of(json, "aad")),
        plain(bytes_of(json, "msg")),
        sealed(bytes_of(json, "ct")),
        valid(text_of(json, "result") == "valid") {
    const test::Buffer tag = bytes_of(json, "tag");
    sealed.insert(sealed.end(), tag.begin(), tag.end());
  }

  std::int64_t id;
  ByteArray<32> key;
  test::Buffer iv;
  test::Buffer aad;
  test::Buffer plain;
  test::Buffer sealed;
  bool valid;
};

std::vector<Case> cases_of(std::string_view name) {
  const boost::json::value file = test::load_vectors(name);
  std::vector<Case> cases;
  for (const boost::json::value& group : array_of(file.as_object(), "testGroups")) {
    for (const boost::json::value& entry : array_of(group.as_object(), "tests")) {
      cases.emplace_back(entry.as_object());
    }
  }
  return cases;
}

// `seal(out, plain)` and `open(out, sealed)` with the rest of the case bound. A forged case must
// not open, and what honest sealing gives differs from it in the tag.
template <typename Seal, typename Open>
void expect_case(const Case& one, const Seal& seal, const Open& open) {
  test::Buffer sealed(one.plain.size() + tag_bytes, 0xaa);
  seal(sealed, one.plain);
  EXPECT_EQ(sealed == one.sealed, one.valid);

  test::Buffer opened(one.plain.size(), 0xaa);
  const test::Buffer before = opened;
  EXPECT_EQ(open(opened, one.sealed), one.valid);
  if (one.valid) {
    EXPECT_EQ(opened, one.plain);
  } else {
    EXPECT_TRUE(opened == before || ct_is_zero(opened));
  }
}

class AeadVectors : public ::testing::TestWithParam<const RawAead*> {};

TEST_P(AeadVectors, wycheproof) {
  const RawAead& raw = *GetParam();
  const std::vector<Case> cases = cases_of("wycheproof_chacha20_poly1305_test");
  int other_nonce_sizes = 0;
  for (const Case& one : cases) {
    SCOPED_TRACE(one.id);
    if (one.iv.size() != 12) {
      // Such a nonce cannot be said in our types; the file agrees that it is invalid.
      EXPECT_FALSE(one.valid);
      ++other_nonce_sizes;
      continue;
    }
    const BytesOf<12> nonce = fixed<12>(Bytes(one.iv));
    expect_case(
        one, [&](MutableBytes out, Bytes plain) { raw.seal(out, plain, one.aad, one.key, nonce); },
        [&](MutableBytes out, Bytes sealed) {
          return raw.open(out, sealed, one.aad, one.key, nonce);
        });
  }
  EXPECT_EQ(cases.size(), 325U);
  EXPECT_EQ(other_nonce_sizes, 9);
}

// The ten cases whose nonce is one of ours, through the functions the handshake calls.
TEST_P(AeadVectors, wycheproof_through_the_handshake_functions) {
  use_for_messages(*GetParam());
  int reachable = 0;
  for (const Case& one : cases_of("wycheproof_chacha20_poly1305_test")) {
    if (one.iv.size() != 12 || !ct_is_zero(Bytes(one.iv).first(4))) {
      continue;
    }
    ++reachable;
    SCOPED_TRACE(one.id);
    const std::uint64_t counter = load_le64(one.iv.data() + 4);
    expect_case(
        one,
        [&](MutableBytes out, Bytes plain) { aead_seal(out, plain, one.aad, one.key, counter); },
        [&](MutableBytes out, Bytes sealed) {
          return aead_open(out, sealed, one.aad, one.key, counter);
        });
  }
  EXPECT_EQ(reachable, 10);
  use_for_messages(raw_aead_boringssl());
}

// Data packets that the Linux kernel's WireGuard sent, through the trains.
TEST_P(AeadVectors, recorded_data_packets) {
  const std::vector<const Aead*> backends = test_backends::all();
  const Aead& aead = **std::ranges::find(backends, GetParam()->name, &Aead::name);
  constexpr std::size_t header_bytes = 16;
  const boost::json::value file = test::load_vectors("wireguard_transcripts");
  int packets = 0;
  for (const boost::json::value& session : array_of(file.as_object(), "sessions")) {
    const boost::json::object& keys = session.as_object().at("intermediate").as_object();
    for (const boost::json::value& entry : array_of(session.as_object(), "data")) {
      const boost::json::object& data = entry.as_object();
      const auto key = array_field<32>(keys, "t_" + text_of(data, "direction"));
      const test::Buffer packet = bytes_of(data, "packet");
      const test::Buffer plain = bytes_of(data, "plaintext");
      const auto counter = static_cast<std::uint64_t>(data.at("counter").as_int64());
      ++packets;
      test::Buffer sealed(plain.size() + tag_bytes);
      const SealSegment seal{.plain = plain.data(),
                             .sealed = sealed.data(),
                             .plain_bytes = plain.size(),
                             .counter = counter};
      aead.seal(key, std::span(&seal, 1));
      EXPECT_TRUE(equal_public(sealed, Bytes(packet).subspan(header_bytes)));
      OpenSegment open{.sealed = sealed.data(),
                       .plain = sealed.data(),
                       .sealed_bytes = sealed.size(),
                       .counter = counter,
                       .opened = false};
      aead.open(key, std::span(&open, 1));
      EXPECT_TRUE(open.opened);
      EXPECT_TRUE(equal_public(plain, Bytes(sealed).first(plain.size())));
    }
  }
  EXPECT_EQ(packets, 18);
}

INSTANTIATE_TEST_SUITE_P(Backends, AeadVectors, ::testing::ValuesIn(test_backends::all_raw()),
                         [](const auto& backend) {
                           return test_backends::test_name(*backend.param);
                         });

TEST(Xaead, wycheproof) {
  const std::vector<Case> cases = cases_of("wycheproof_xchacha20_poly1305_test");
  int other_nonce_sizes = 0;
  for (const Case& one : cases) {
    SCOPED_TRACE(one.id);
    if (one.iv.size() != 24) {
      EXPECT_FALSE(one.valid);
      ++other_nonce_sizes;
      continue;
    }
    const BytesOf<24> nonce = fixed<24>(Bytes(one.iv));
    expect_case(
        one,
        [&](MutableBytes out, Bytes plain) { xaead_seal(out, plain, one.aad, one.key, nonce); },
        [&](MutableBytes out, Bytes sealed) {
          return xaead_open(out, sealed, one.aad, one.key, nonce);
        });
  }
  EXPECT_EQ(cases.size(), 315U);
  EXPECT_EQ(other_nonce_sizes, 9);
}

// WG §5.4.7: the cookie's MAC, the sealed reply and the mac2 it gives.
TEST(Xaead, cookie_exchange) {
  constexpr ByteArray<8> label_mac1{'m', 'a', 'c', '1', '-', '-', '-', '-'};
  constexpr ByteArray<8> label_cookie{'c', 'o', 'o', 'k', 'i', 'e', '-', '-'};
  constexpr std::size_t macs_bytes = 2 * mac_bytes;
  const boost::json::value file = test::load_vectors("cookie_generated");
  const boost::json::array& cases = array_of(file.as_object(), "cases");
  ASSERT_EQ(cases.size(), 4U);
  for (const boost::json::value& entry : cases) {
    const boost::json::object& one = entry.as_object();
    const test::Buffer message = bytes_of(one, "message_with_mac1");
    const Bytes before_macs = Bytes(message).first(message.size() - macs_bytes);
    const Bytes mac1 = Bytes(message).subspan(before_macs.size(), mac_bytes);
    const auto receiver = array_field<32>(one, "responder_static_public");
    ByteArray<32> key{};
    ByteArray<16> tag{};
    hash(key, label_mac1, receiver);
    mac(tag, key, before_macs);
    EXPECT_TRUE(equal_public(tag, mac1));

    ByteArray<2> port{};
    store_be16(port.data(), static_cast<std::uint16_t>(one.at("source_port").as_int64()));
    ByteArray<16> cookie{};
    mac(cookie, bytes_of(one, "secret"), bytes_of(one, "source_address"), port);
    EXPECT_EQ(test::hex(cookie), text_of(one, "cookie"));

    const test::Buffer reply = bytes_of(one, "cookie_reply");
    const auto nonce = array_field<24>(one, "nonce");
    ByteArray<32> sealed{};
    hash(key, label_cookie, receiver);
    xaead_seal(sealed, cookie, mac1, key, nonce);
    EXPECT_TRUE(equal_public(sealed, Bytes(reply).subspan(32)));
    ByteArray<16> opened{};
    EXPECT_TRUE(xaead_open(opened, sealed, mac1, key, nonce));
    EXPECT_EQ(opened, cookie);

    mac(tag, cookie, before_macs, mac1);
    EXPECT_TRUE(equal_public(tag, Bytes(bytes_of(one, "message_with_mac2")).last(mac_bytes)));
  }
}

}  // namespace
}  // namespace wgring::crypto
