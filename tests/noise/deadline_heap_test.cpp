#include "noise/deadline_heap.hpp"

#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "tests/support/memory.hpp"

namespace wgring::noise {
namespace {

Instant at_ns(std::int64_t ns) { return Instant{Duration{ns}}; }

class DeadlineHeapTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(heap.open(memory.source(), 100'000)); }
  test::TestMemory memory;
  DeadlineHeap heap;
};

TEST_F(DeadlineHeapTest, EmptyHasNoDeadline) {
  EXPECT_TRUE(heap.empty());
  EXPECT_EQ(heap.at(0), never);
  EXPECT_EQ(heap.at(99'999), never);
  heap.remove(7);
  heap.set(7, never);
  EXPECT_TRUE(heap.empty());
}

TEST_F(DeadlineHeapTest, SetMovesEitherWay) {
  ASSERT_TRUE(heap.ensure(3));
  heap.set(0, at_ns(10));
  heap.set(1, at_ns(20));
  heap.set(2, at_ns(30));
  EXPECT_EQ(heap.top_id(), 0U);
  heap.set(0, at_ns(40));
  EXPECT_EQ(heap.top_id(), 1U);
  heap.set(2, at_ns(5));
  EXPECT_EQ(heap.top_id(), 2U);
  EXPECT_EQ(heap.top_at(), at_ns(5));
  heap.set(2, never);
  EXPECT_EQ(heap.top_id(), 1U);
  EXPECT_EQ(heap.at(2), never);
  EXPECT_EQ(heap.size(), 2U);
}

TEST_F(DeadlineHeapTest, TiesBreakById) {
  ASSERT_TRUE(heap.ensure(100));
  for (const bool ascending : {true, false}) {
    for (std::uint32_t i = 0; i < 100; ++i) {
      heap.set(ascending ? i : 99 - i, at_ns(1));
    }
    for (std::uint32_t i = 0; i < 100; ++i) {
      ASSERT_EQ(heap.top_id(), i);
      heap.remove(i);
    }
  }
}

TEST_F(DeadlineHeapTest, AgreesWithASortedSetAtRandom) {
  constexpr std::uint32_t ids = 500;
  ASSERT_TRUE(heap.ensure(ids));
  std::mt19937_64 random(5);
  std::map<std::uint32_t, Instant> by_id;
  std::set<std::pair<Instant, std::uint32_t>> sorted;
  for (int i = 0; i < 200'000; ++i) {
    const auto id = static_cast<std::uint32_t>(random() % ids);
    if (const auto known = by_id.find(id); known != by_id.end()) {
      ASSERT_EQ(heap.at(id), known->second);
      sorted.erase({known->second, id});
      by_id.erase(known);
    }
    if (random() % 3 == 0) {
      heap.remove(id);
    } else {
      const Instant at = at_ns(static_cast<std::int64_t>(random() % 1000));
      heap.set(id, at);
      by_id[id] = at;
      sorted.insert({at, id});
    }
    ASSERT_EQ(heap.size(), sorted.size());
    if (!sorted.empty()) {
      ASSERT_EQ(heap.top_at(), sorted.begin()->first);
      ASSERT_EQ(heap.top_id(), sorted.begin()->second);
    }
  }
}

TEST_F(DeadlineHeapTest, EnsureRespectsLimitAndMemory) {
  EXPECT_FALSE(heap.ensure(100'001));
  memory.set_commit_budget(0);
  EXPECT_FALSE(heap.ensure(1));
  memory.set_commit_budget(test::TestMemory::unlimited);
  EXPECT_TRUE(heap.ensure(100'000));
  heap.set(99'999, at_ns(3));
  EXPECT_EQ(heap.top_id(), 99'999U);
}

using DeadlineHeapDeathTest = DeadlineHeapTest;
TEST_F(DeadlineHeapDeathTest, UseWithoutRoomIsABug) {
  ASSERT_TRUE(heap.ensure(1));
  EXPECT_DEATH(heap.set(1, at_ns(1)), "assertion failed");
  EXPECT_DEATH(static_cast<void>(heap.top_id()), "assertion failed");
}

TEST(DeadlineHeapMemory, OpenFailsWithoutAddressSpace) {
  test::TestMemory memory;
  memory.refuse_reservations(true);
  DeadlineHeap heap;
  EXPECT_FALSE(heap.open(memory.source(), 10));
}

}  // namespace
}  // namespace wgring::noise
