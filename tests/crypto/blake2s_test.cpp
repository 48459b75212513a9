#include "crypto/blake2s.hpp"

#include <gtest/gtest.h>

#include "crypto/blake2s_keyed.hpp"
#include "crypto/kdf.hpp"
#include "crypto/siphash.hpp"
#include "tests/support/json_vectors.hpp"

namespace wgring::crypto {
namespace {

using test::array_of;
using test::bytes_of;
using test::text_of;

TEST(Blake2s, unkeyed_known_answers_however_the_input_is_split) {
  const boost::json::value file = test::load_vectors("blake2s-kat");
  int cases = 0;
  for (const boost::json::value& entry : file.as_array()) {
    const boost::json::object& test_case = entry.as_object();
    if (!text_of(test_case, "key").empty()) {
      continue;
    }
    ++cases;
    const test::Buffer input = bytes_of(test_case, "in");
    for (std::size_t split = 0; split <= input.size(); split += 1 + input.size() / 5) {
      ByteArray<32> digest{};
      hash(digest, Bytes(input).first(split), Bytes(input).subspan(split));
      EXPECT_EQ(test::hex(digest), text_of(test_case, "out")) << input.size() << " at " << split;
    }
  }
  EXPECT_EQ(cases, 256);
}

TEST(Blake2s, keyed_known_answers_however_the_input_is_split) {
  const boost::json::value file = test::load_vectors("blake2s-kat");
  int cases = 0;
  for (const boost::json::value& entry : file.as_array()) {
    const boost::json::object& test_case = entry.as_object();
    const test::Buffer key = bytes_of(test_case, "key");
    if (key.empty()) {
      continue;
    }
    ++cases;
    const test::Buffer input = bytes_of(test_case, "in");
    for (std::size_t split = 0; split <= input.size(); split += 1 + input.size() / 5) {
      ByteArray<32> digest{};
      keyed_hash(digest, key, Bytes(input).first(split), Bytes(input).subspan(split));
      EXPECT_EQ(test::hex(digest), text_of(test_case, "out")) << input.size() << " at " << split;
    }
  }
  EXPECT_EQ(cases, 256);
}

test::Buffer counting(const boost::json::object& row, std::string_view size_key) {
  test::Buffer bytes(static_cast<std::size_t>(row.at(size_key).as_int64()));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(i);
  }
  return bytes;
}

TEST(Blake2s, mac_has_sixteen_bytes_and_takes_any_key) {
  const boost::json::value file = test::load_vectors("blake2s_generated");
  const boost::json::array& rows = array_of(file.as_object(), "mac");
  EXPECT_EQ(rows.size(), 32U);
  for (const boost::json::value& entry : rows) {
    const boost::json::object& row = entry.as_object();
    const test::Buffer input = counting(row, "in_bytes");
    for (const std::size_t split : {std::size_t{0}, input.size() / 3, input.size()}) {
      ByteArray<16> tag{};
      mac(tag, counting(row, "key_bytes"), Bytes(input).first(split), Bytes(input).subspan(split));
      EXPECT_EQ(test::hex(tag), text_of(row, "out")) << split;
    }
  }
}

TEST(Blake2sDeath, mac_without_a_key_or_with_a_long_one_is_a_bug) {
  ByteArray<16> tag{};
  const ByteArray<33> key{};
  EXPECT_DEATH(mac(tag, {}, key), "assertion failed");
  EXPECT_DEATH(mac(tag, key, key), "assertion failed");
}

TEST(Hmac, keys_shorter_than_equal_to_and_longer_than_a_block) {
  const boost::json::value file = test::load_vectors("blake2s_generated");
  const boost::json::array& rows = array_of(file.as_object(), "hmac");
  EXPECT_EQ(rows.size(), 28U);
  for (const boost::json::value& entry : rows) {
    const boost::json::object& row = entry.as_object();
    const test::Buffer input = counting(row, "in_bytes");
    for (const std::size_t split : {std::size_t{0}, input.size() / 3, input.size()}) {
      ByteArray<32> tag{};
      hmac(tag, counting(row, "key_bytes"), Bytes(input).first(split), Bytes(input).subspan(split));
      EXPECT_EQ(test::hex(tag), text_of(row, "out")) << split;
    }
  }
}

TEST(Blake2s, outputs_may_alias_inputs) {
  ByteArray<32> bytes{1, 2, 3};
  const ByteArray<32> other{4, 5, 6};
  ByteArray<32> expected{};
  hash(expected, bytes, other);
  ByteArray<32> aliased = bytes;
  hash(aliased, aliased, other);
  EXPECT_EQ(aliased, expected);
  aliased = other;
  hash(aliased, bytes, aliased);
  EXPECT_EQ(aliased, expected);

  hmac(expected, bytes, other);
  aliased = bytes;
  hmac(aliased, aliased, other);
  EXPECT_EQ(aliased, expected);
  aliased = other;
  hmac(aliased, bytes, aliased);
  EXPECT_EQ(aliased, expected);
}

// The vectors' keys are shorter than a chaining key; HMAC pads with zeros, so padding is no change.
TEST(Kdf, wireguard_vectors_with_one_two_and_three_outputs) {
  const boost::json::value file = test::load_vectors("wireguard_kdf");
  const boost::json::array& cases = array_of(file.as_object(), "cases");
  ASSERT_EQ(cases.size(), 3U);
  for (const boost::json::value& entry : cases) {
    const boost::json::object& test_case = entry.as_object();
    const test::Buffer input = bytes_of(test_case, "input");
    ByteArray<32> key{};
    copy_bytes(key, bytes_of(test_case, "key"));
    ByteArray<32> t1{};
    ByteArray<32> t2{};
    ByteArray<32> t3{};
    kdf1(t1, key, input);
    EXPECT_EQ(test::hex(t1), text_of(test_case, "t0"));
    t1.fill(0);
    kdf2(t1, t2, key, input);
    EXPECT_EQ(test::hex(t1), text_of(test_case, "t0"));
    EXPECT_EQ(test::hex(t2), text_of(test_case, "t1"));
    t1.fill(0);
    t2.fill(0);
    kdf3(t1, t2, t3, key, input);
    EXPECT_EQ(test::hex(t1), text_of(test_case, "t0"));
    EXPECT_EQ(test::hex(t2), text_of(test_case, "t1"));
    EXPECT_EQ(test::hex(t3), text_of(test_case, "t2"));
  }
}

TEST(Kdf, outputs_may_alias_the_chaining_key_and_the_input) {
  const ByteArray<32> key{7};
  const ByteArray<32> input{8};
  std::array<ByteArray<32>, 3> expected{};
  kdf3(expected[0], expected[1], expected[2], key, input);

  ByteArray<32> chain = key;
  ByteArray<32> second = input;
  ByteArray<32> third{};
  kdf3(chain, second, third, chain, second);
  EXPECT_EQ(chain, expected[0]);
  EXPECT_EQ(second, expected[1]);
  EXPECT_EQ(third, expected[2]);
  chain = key;
  kdf2(second, chain, chain, input);
  EXPECT_EQ(second, expected[0]);
  EXPECT_EQ(chain, expected[1]);
  chain = key;
  kdf1(chain, chain, input);
  EXPECT_EQ(chain, expected[0]);
}

// Two rows of the reference implementation's table: key 00 .. 0f, input 00 .. n-1.
TEST(Siphash, reference_vectors) {
  ByteArray<16> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(i);
  }
  EXPECT_EQ(siphash(bytes, {}), 0x726fdb47dd0e0e31U);
  EXPECT_EQ(siphash(bytes, Bytes(bytes).first(15)), 0xa129ca6149be45e5U);
}

}  // namespace
}  // namespace wgring::crypto
