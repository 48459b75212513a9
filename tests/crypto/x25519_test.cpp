#include "crypto/x25519.hpp"

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

#include "tests/support/json_vectors.hpp"

namespace wgring::crypto {
namespace {

using test::array_field;
using test::array_of;
using test::text_of;

bool has_flag(const boost::json::object& test_case, std::string_view flag) {
  return std::ranges::any_of(array_of(test_case, "flags"), [&](const boost::json::value& value) {
    return std::string_view(value.as_string()) == flag;
  });
}

TEST(X25519, wycheproof) {
  const boost::json::value file = test::load_vectors("wycheproof_x25519_test");
  int cases = 0;
  int refused = 0;
  for (const boost::json::value& group : array_of(file.as_object(), "testGroups")) {
    for (const boost::json::value& entry : array_of(group.as_object(), "tests")) {
      const boost::json::object& test_case = entry.as_object();
      SCOPED_TRACE(test_case.at("tcId").as_int64());
      ++cases;
      ByteArray<32> shared;
      shared.fill(0xaa);
      const bool accepted = x25519(shared, array_field<32>(test_case, "private"),
                                   array_field<32>(test_case, "public"));
      EXPECT_EQ(accepted, !has_flag(test_case, "ZeroSharedSecret"));
      EXPECT_EQ(test::hex(shared), text_of(test_case, "shared"));
      refused += accepted ? 0 : 1;
    }
  }
  EXPECT_EQ(cases, 518);
  EXPECT_EQ(refused, 31);
}

TEST(X25519, rfc7748_single) {
  const boost::json::value file = test::load_vectors("rfc7748_x25519");
  const boost::json::array& single = array_of(file.as_object(), "single");
  ASSERT_EQ(single.size(), 2U);
  for (const boost::json::value& entry : single) {
    const boost::json::object& test_case = entry.as_object();
    ByteArray<32> shared{};
    EXPECT_TRUE(
        x25519(shared, array_field<32>(test_case, "scalar"), array_field<32>(test_case, "u")));
    EXPECT_EQ(test::hex(shared), text_of(test_case, "out"));
  }
}

// The million rounds take about a minute: only where WGRING_LONG_TESTS is set.
TEST(X25519, rfc7748_iterated) {
  const boost::json::value file = test::load_vectors("rfc7748_x25519");
  const boost::json::array& iterated = array_of(file.as_object(), "iterated");
  ASSERT_EQ(iterated.size(), 3U);
  ByteArray<32> k{9};
  ByteArray<32> u{9};
  std::int64_t done = 0;
  for (const boost::json::value& entry : iterated) {
    const std::int64_t rounds = entry.as_object().at("iterations").as_int64();
    if (rounds > 1000 && std::getenv("WGRING_LONG_TESTS") == nullptr) {
      continue;
    }
    for (; done < rounds; ++done) {
      ByteArray<32> next{};
      ASSERT_TRUE(x25519(next, k, u));
      u = k;
      k = next;
    }
    EXPECT_EQ(test::hex(k), text_of(entry.as_object(), "out")) << rounds;
  }
  EXPECT_GE(done, 1000);
}

TEST(X25519, rfc7748_diffie_hellman) {
  const boost::json::value file = test::load_vectors("rfc7748_x25519");
  const boost::json::object& exchange = file.as_object().at("diffie_hellman").as_object();
  for (const std::string who : {"alice", "bob"}) {
    PublicKey key{};
    x25519_public(key, array_field<32>(exchange, who + "_private"));
    EXPECT_EQ(test::hex(key), text_of(exchange, who + "_public"));
    ByteArray<32> shared{};
    const std::string other = who == "alice" ? "bob" : "alice";
    EXPECT_TRUE(x25519(shared, array_field<32>(exchange, who + "_private"),
                       array_field<32>(exchange, other + "_public")));
    EXPECT_EQ(test::hex(shared), text_of(exchange, "shared"));
  }
}

TEST(X25519, clamp_clears_and_sets_the_five_bits) {
  ByteArray<32> ones;
  ones.fill(0xff);
  clamp(ones);
  EXPECT_EQ(ones[0], 0xf8);
  EXPECT_EQ(ones[31], 0x7f);
  ByteArray<32> zeros{};
  clamp(zeros);
  EXPECT_EQ(zeros[0], 0x00);
  EXPECT_EQ(zeros[31], 0x40);
  EXPECT_TRUE(std::all_of(ones.begin() + 1, ones.end() - 1, [](auto b) { return b == 0xff; }));
}

// Keys that differ only in the bits that clamping decides have one public key.
TEST(X25519, unclamped_aliases_have_one_public_key) {
  const boost::json::value file = test::load_vectors("wireguard_transcripts");
  const boost::json::array& aliases = array_of(file.as_object(), "unclamped_aliases");
  ASSERT_EQ(aliases.size(), 2U);
  for (const boost::json::value& entry : aliases) {
    ByteArray<32> key = array_field<32>(entry.as_object(), "private");
    PublicKey raw{};
    PublicKey clamped{};
    x25519_public(raw, key);
    clamp(key);
    x25519_public(clamped, key);
    EXPECT_EQ(raw, clamped);
    EXPECT_EQ(test::hex(clamped), text_of(entry.as_object(), "public"));
  }
}

}  // namespace
}  // namespace wgring::crypto
