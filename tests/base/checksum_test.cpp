#include "base/checksum.hpp"

#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace wgring {
namespace {

// RFC 1071 as its text has it: 16-bit words, one at a time.
[[nodiscard]] std::uint16_t slow(Bytes bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8U : bytes[i];
    sum = (sum & 0xffffU) + (sum >> 16U);
  }
  return static_cast<std::uint16_t>(~sum);
}

TEST(Checksum, equals_the_slow_one_at_every_length_and_alignment) {
  std::mt19937_64 random(5);
  std::vector<std::uint8_t> bytes(3000);
  for (std::uint8_t& byte : bytes) {
    byte = static_cast<std::uint8_t>(random());
  }
  for (std::size_t length = 0; length < 300; ++length) {
    for (std::size_t at = 0; at < 16; ++at) {
      ByteArray<2> field{};
      const Bytes part = Bytes{bytes}.subspan(at, length);
      InternetSum().add(part).store(field.data());
      ASSERT_EQ(load_be16(field.data()), slow(part)) << length << " at " << at;
    }
  }
}

TEST(Checksum, carries_survive_the_largest_packet_of_ones) {
  const std::vector<std::uint8_t> bytes(65'535, 0xff);
  ByteArray<2> field{};
  InternetSum().add(bytes).store(field.data());
  EXPECT_EQ(load_be16(field.data()), slow(bytes));
}

TEST(Checksum, pieces_and_numbers_add_up) {
  const ByteArray<8> bytes{0x12, 0x34, 0xff, 0xff, 0x80, 0x01, 0xab, 0xcd};
  ByteArray<2> whole{};
  ByteArray<2> pieces{};
  InternetSum().add(bytes).store(whole.data());
  InternetSum().add(Bytes{bytes}.first(4)).add_be16(0x8001).add_be16(0xabcd).store(pieces.data());
  EXPECT_EQ(whole, pieces);
  InternetSum().add(bytes).store_partial(pieces.data());
  EXPECT_EQ(load_be16(pieces.data()), static_cast<std::uint16_t>(~load_be16(whole.data())));
}

}  // namespace
}  // namespace wgring
