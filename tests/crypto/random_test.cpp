#include "crypto/random.hpp"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "crypto/random_source.hpp"

namespace wgring::crypto {
namespace {

bool refuses(MutableBytes out) noexcept {
  std::ranges::fill(out, std::uint8_t{0x11});
  return false;
}
bool is_stuck(MutableBytes out) noexcept {
  std::ranges::fill(out, std::uint8_t{0x11});
  return true;
}
bool counts(MutableBytes out) noexcept {
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<std::uint8_t>(i);
  }
  return true;
}

TEST(Random, a_source_that_fails_leaves_zeros) {
  ByteArray<32> out{1};
  EXPECT_FALSE(random_from(refuses, out));
  EXPECT_EQ(out, ByteArray<32>{});
}

TEST(Random, a_source_that_is_stuck_leaves_zeros) {
  ByteArray<32> out{1};
  EXPECT_FALSE(random_from(is_stuck, out));
  EXPECT_EQ(out, ByteArray<32>{});
  EXPECT_FALSE(random_from(is_stuck, MutableBytes(out).first(16)));
}

// Four equal bytes are no evidence.
TEST(Random, short_draws_are_not_judged) {
  ByteArray<15> out{};
  EXPECT_TRUE(random_from(is_stuck, out));
  EXPECT_EQ(out[14], 0x11);
}

TEST(Random, a_source_that_moves_is_taken) {
  ByteArray<32> out{};
  EXPECT_TRUE(random_from(counts, out));
  EXPECT_EQ(out[31], 31);
  EXPECT_TRUE(random_from(counts, {}));
}

TEST(Random, draws_differ_and_fill_all_of_the_output) {
  std::set<ByteArray<32>> seen;
  ByteArray<32> ever_set{};
  for (int i = 0; i < 100; ++i) {
    ByteArray<32> out{};
    ASSERT_TRUE(random_bytes(out));
    EXPECT_TRUE(seen.insert(out).second);
    for (std::size_t j = 0; j < out.size(); ++j) {
      ever_set[j] = static_cast<std::uint8_t>(ever_set[j] | out[j]);
    }
  }
  EXPECT_TRUE(std::ranges::none_of(ever_set, [](std::uint8_t byte) { return byte == 0; }));
}

}  // namespace
}  // namespace wgring::crypto
