#include "noise/index_mark.hpp"

#include <set>

#include <gtest/gtest.h>

#include "tests/noise/seeded_entropy.hpp"

namespace wgring::noise {
namespace {

constexpr std::uint32_t below_mark = 0x00ff'ffffU;

TEST(IndexMark, StandsInTheTopByteAndLeavesTheRest) {
  const IndexMark mark{0x1234'5679U, 0x89ab'cdefU};
  for (const std::uint32_t index : {0U, 1U, 0xfU, 0x00ab'cdefU, 0x7fff'ffffU, 0xffff'ffffU}) {
    const std::uint32_t marked = mark.put_on(index);
    EXPECT_EQ(marked & below_mark, index & below_mark);
    EXPECT_TRUE(mark.is_on(marked));
    EXPECT_EQ(mark.put_on(marked), marked);
    for (std::uint32_t other = 1; other < 256; ++other) {
      EXPECT_FALSE(mark.is_on(marked ^ (other << 24U)));
    }
  }
}

TEST(IndexMark, IsFoundByChanceOnceIn256) {
  test::SeededEntropy random{4};
  const auto mark = IndexMark::draw(random.entropy());
  ASSERT_TRUE(mark);
  std::size_t found = 0;
  constexpr std::size_t tries = 256 * 1024;
  for (std::size_t i = 0; i < tries; ++i) {
    ByteArray<4> guess{};
    ASSERT_TRUE(random.entropy()(guess));
    found += mark->is_on(load_le32(guess.data())) ? 1U : 0U;
  }
  EXPECT_GT(found, tries / 256 * 3 / 4);
  EXPECT_LT(found, tries / 256 * 5 / 4);
}

// Who changes one bit of an index that he saw has another mark to guess, for most of the bits.
TEST(IndexMark, EachBitCounts) {
  test::SeededEntropy random{5};
  for (unsigned bit = 0; bit < 24; ++bit) {
    std::size_t kept = 0;
    for (int i = 0; i < 200; ++i) {
      const auto mark = IndexMark::draw(random.entropy());
      ASSERT_TRUE(mark);
      kept += mark->is_on(mark->put_on(0x0012'3456U) ^ (1U << bit)) ? 1U : 0U;
    }
    EXPECT_LT(kept, 20U) << bit;
  }
}

// Who sends what a lazy flooder sends.
TEST(IndexMark, ZeroIsMarkedByChanceOnly) {
  test::SeededEntropy random{7};
  std::size_t marked = 0;
  for (int i = 0; i < 2560; ++i) {
    const auto mark = IndexMark::draw(random.entropy());
    ASSERT_TRUE(mark);
    marked += mark->is_on(0) ? 1U : 0U;
  }
  EXPECT_LT(marked, 40U);
}

TEST(IndexMark, ASecretIsDrawnAndOdd) {
  test::SeededEntropy random{6};
  std::set<std::uint32_t> factors;
  for (int i = 0; i < 100; ++i) {
    const auto mark = IndexMark::draw(random.entropy());
    ASSERT_TRUE(mark);
    EXPECT_EQ(mark->factor() % 2, 1U);
    factors.insert(mark->factor());
  }
  EXPECT_EQ(factors.size(), 100U);
  random.set_mode(test::SeededEntropy::Mode::failing);
  EXPECT_FALSE(IndexMark::draw(random.entropy()));
}

}  // namespace
}  // namespace wgring::noise
