#include "base/region.hpp"

#include <utility>

#include <gtest/gtest.h>

#include "tests/support/memory.hpp"

namespace wgring {
namespace {

constexpr std::size_t chunk = std::size_t{64} * 1024;

TEST(Region, GrowsInPlaceByChunksAndReadsZero) {
  test::TestMemory memory;
  Region region;
  ASSERT_TRUE(region.reserve(memory.source(), 10 * chunk));
  std::uint8_t* const base = region.data();
  EXPECT_EQ(region.committed_bytes(), 0U);
  EXPECT_TRUE(region.ensure(0));
  EXPECT_EQ(memory.committed_bytes(), 0U);
  ASSERT_TRUE(region.ensure(1));
  EXPECT_EQ(region.committed_bytes(), chunk);
  EXPECT_EQ(base[chunk - 1], 0);
  base[0] = 7;
  ASSERT_TRUE(region.ensure(chunk + 1));
  EXPECT_EQ(region.committed_bytes(), 2 * chunk);
  EXPECT_EQ(region.data(), base);
  EXPECT_EQ(base[0], 7);
  EXPECT_EQ(base[2 * chunk - 1], 0);
  ASSERT_TRUE(region.ensure(5));  // never shrinks
  EXPECT_EQ(region.committed_bytes(), 2 * chunk);
}

TEST(Region, EndsAtItsReservation) {
  test::TestMemory memory;
  Region region;
  ASSERT_TRUE(region.reserve(memory.source(), chunk + 4096));
  EXPECT_FALSE(region.ensure(chunk + 4097));
  EXPECT_FALSE(region.ensure(~std::size_t{0}));
  EXPECT_EQ(region.committed_bytes(), 0U);
  ASSERT_TRUE(region.ensure(chunk + 1));  // a last chunk shorter than the others
  EXPECT_EQ(region.committed_bytes(), chunk + 4096);
}

TEST(Region, OutOfMemoryChangesNothing) {
  test::TestMemory memory(chunk);
  Region region;
  ASSERT_TRUE(region.reserve(memory.source(), 4 * chunk));
  ASSERT_TRUE(region.ensure(chunk));
  EXPECT_FALSE(region.ensure(chunk + 1));
  EXPECT_EQ(region.committed_bytes(), chunk);
  region.data()[chunk - 1] = 1;
  memory.set_commit_budget(2 * chunk);
  EXPECT_TRUE(region.ensure(chunk + 1));
}

TEST(Region, NoAddressSpace) {
  test::TestMemory memory;
  memory.refuse_reservations(true);
  Region region;
  EXPECT_FALSE(region.reserve(memory.source(), chunk));
  EXPECT_EQ(region.data(), nullptr);
  EXPECT_FALSE(region.ensure(1));
  memory.refuse_reservations(false);
  EXPECT_TRUE(region.reserve(memory.source(), chunk));
}

TEST(Region, GivesBackOnceHoweverItMoves) {
  test::TestMemory memory;
  {
    Region first;
    ASSERT_TRUE(first.reserve(memory.source(), chunk));
    ASSERT_TRUE(first.ensure(1));
    Region second;
    ASSERT_TRUE(second.reserve(memory.source(), chunk));
    EXPECT_EQ(memory.reservations(), 2U);
    const std::uint8_t* const base = first.data();
    second = std::move(first);
    EXPECT_EQ(memory.reservations(), 1U);
    EXPECT_EQ(second.data(), base);
    EXPECT_EQ(second.committed_bytes(), chunk);
    const Region third(std::move(second));
    EXPECT_EQ(third.data(), base);
    EXPECT_EQ(memory.reservations(), 1U);
  }
  EXPECT_EQ(memory.reservations(), 0U);
  EXPECT_EQ(memory.committed_bytes(), 0U);
}

TEST(RegionDeathTest, ReservesOnce) {
  test::TestMemory memory;
  Region region;
  ASSERT_TRUE(region.reserve(memory.source(), chunk));
  EXPECT_DEATH(static_cast<void>(region.reserve(memory.source(), chunk)), "assertion failed");
}

}  // namespace
}  // namespace wgring
