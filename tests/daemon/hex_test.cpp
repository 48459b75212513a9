#include "daemon/hex.hpp"

#include <array>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wgring::daemon {
namespace {

std::string encoded(BytesOf<32> key) {
  std::string digits(key_digits, '?');
  encode_key(key, std::span<char, key_digits>{digits.data(), key_digits});
  return digits;
}

TEST(Hex, EveryByteGoesThereAndBack) {
  for (unsigned first = 0; first < 256; ++first) {
    ByteArray<32> key{};
    for (std::size_t i = 0; i < key.size(); ++i) {
      key[i] = static_cast<std::uint8_t>(first + i * 7);
    }
    ByteArray<32> back{};
    ASSERT_TRUE(decode_key(encoded(key), back));
    EXPECT_EQ(back, key);
  }
}

TEST(Hex, WritesLowerCaseHighDigitFirst) {
  ByteArray<32> key{};
  key[0] = 0x0f;
  key[1] = 0xa9;
  EXPECT_EQ(encoded(key).substr(0, 6), "0fa900");
}

TEST(Hex, TakesEitherCase) {
  ByteArray<32> key{};
  ASSERT_TRUE(decode_key("aBcDeF" + std::string(58, '0'), key));
  EXPECT_THAT(std::vector<std::uint8_t>(key.begin(), key.begin() + 3),
              testing::ElementsAre(0xab, 0xcd, 0xef));
}

TEST(Hex, RefusesEveryOtherCharacterAtEveryPlaceOfAByte) {
  for (int c = 0; c < 256; ++c) {
    const bool is_digit =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    for (const std::size_t place : {0U, 1U, 30U, 63U}) {
      std::string digits(key_digits, '5');
      digits[place] = static_cast<char>(c);
      ByteArray<32> key{};
      EXPECT_EQ(decode_key(digits, key), is_digit) << "character " << c << " at " << place;
    }
  }
}

// fault: vpp-memory
TEST(Hex, RefusesEveryOtherLengthAndLeavesZeroes) {
  for (const std::size_t digits : {0U, 1U, 62U, 63U, 65U, 66U, 128U}) {
    ByteArray<32> key{};
    key.fill(0xee);
    EXPECT_FALSE(decode_key(std::string(digits, 'a'), key)) << digits;
    EXPECT_EQ(key, ByteArray<32>{});
  }
  ByteArray<32> key{};
  EXPECT_FALSE(decode_key(std::string(63, 'a') + "g", key));
  EXPECT_EQ(key, ByteArray<32>{}) << "nothing of a bad key stays";
}

}  // namespace
}  // namespace wgring::daemon
