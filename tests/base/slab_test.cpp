#include "base/slab.hpp"

#include <random>
#include <unordered_map>

#include <gtest/gtest.h>

#include "tests/support/memory.hpp"

namespace wgring {
namespace {

int alive = 0;

struct Counted {
  explicit Counted(int n) : number(n) { alive += 1; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { alive -= 1; }
  int number;
};

class SlabTest : public ::testing::Test {
 protected:
  void SetUp() override { alive = 0; }
  test::TestMemory memory;
};

TEST_F(SlabTest, IdsAreUsedAgainAndObjectsDestroyed) {
  Slab<Counted> slab;
  ASSERT_TRUE(slab.reserve(memory.source(), 10));
  const std::uint32_t a = slab.take(1);
  const std::uint32_t b = slab.take(2);
  EXPECT_NE(a, b);
  EXPECT_EQ(slab[a].number, 1);
  EXPECT_EQ(slab[b].number, 2);
  EXPECT_EQ(slab.used(), 2U);
  slab.give_back(a);
  EXPECT_EQ(alive, 1);
  EXPECT_FALSE(slab.is_taken(a));
  EXPECT_EQ(slab.take(3), a);
  EXPECT_EQ(slab[a].number, 3);
  EXPECT_EQ(slab[b].number, 2);
  EXPECT_FALSE(slab.is_taken(10));
  EXPECT_FALSE(slab.is_taken(Slab<Counted>::none));
}

TEST_F(SlabTest, DestructorDestroysWhatIsTaken) {
  {
    Slab<Counted> slab;
    ASSERT_TRUE(slab.reserve(memory.source(), 10));
    const std::uint32_t first = slab.take(1);
    EXPECT_NE(slab.take(2), Slab<Counted>::none);
    slab.give_back(first);
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(memory.reservations(), 0U);
}

TEST_F(SlabTest, EndsAtItsLimit) {
  Slab<Counted> slab;
  ASSERT_TRUE(slab.reserve(memory.source(), 3));
  EXPECT_TRUE(slab.ensure_free(3));
  EXPECT_FALSE(slab.ensure_free(4));
  for (int i = 0; i < 3; ++i) {
    EXPECT_NE(slab.take(i), Slab<Counted>::none);
  }
  EXPECT_EQ(slab.take(4), Slab<Counted>::none);
  EXPECT_FALSE(slab.ensure_free(1));
  EXPECT_TRUE(slab.ensure_free(0));
  slab.give_back(1);
  EXPECT_TRUE(slab.ensure_free(1));
  EXPECT_FALSE(slab.ensure_free(2));
  EXPECT_EQ(slab.take(5), 1U);
  EXPECT_EQ(alive, 3);
}

TEST_F(SlabTest, AfterEnsureTakingCannotFail) {
  struct Big {
    ByteArray<1000> bytes{};
  };
  Slab<Big> slab;
  ASSERT_TRUE(slab.reserve(memory.source(), 1000));
  ASSERT_TRUE(slab.ensure_free(500));
  memory.set_commit_budget(0);
  for (int i = 0; i < 500; ++i) {
    ASSERT_NE(slab.take(), Slab<Big>::none);
  }
  // Out of memory: what is there stays, nothing new comes.
  EXPECT_FALSE(slab.ensure_free(200));
  EXPECT_EQ(slab.used(), 500U);
  slab.give_back(77);
  EXPECT_EQ(slab.take(), 77U);
  memory.set_commit_budget(test::TestMemory::unlimited);
  EXPECT_TRUE(slab.ensure_free(500));
}

TEST_F(SlabTest, OutOfMemoryAtTheFirstTake) {
  memory.set_commit_budget(0);
  Slab<Counted> slab;
  ASSERT_TRUE(slab.reserve(memory.source(), 3));
  EXPECT_EQ(slab.take(1), Slab<Counted>::none);
  EXPECT_EQ(alive, 0);
}

TEST_F(SlabTest, AgreesWithAMapAtRandomAndNothingMoves) {
  Slab<Counted> slab;
  ASSERT_TRUE(slab.reserve(memory.source(), 5'000));
  std::mt19937_64 random(2);
  std::unordered_map<std::uint32_t, std::pair<int, const Counted*>> model;
  for (int i = 0; i < 50'000; ++i) {
    const auto id = static_cast<std::uint32_t>(random() % 2'000);
    if (slab.is_taken(id) && random() % 8 != 0) {
      slab.give_back(id);
      ASSERT_EQ(model.erase(id), 1U);
    } else {
      const std::uint32_t fresh = slab.take(i);
      ASSERT_NE(fresh, Slab<Counted>::none);
      ASSERT_TRUE(model.emplace(fresh, std::pair{i, &slab[fresh]}).second);
    }
    ASSERT_EQ(slab.used(), model.size());
  }
  for (const auto& [id, expected] : model) {
    ASSERT_EQ(slab[id].number, expected.first);
    ASSERT_EQ(&slab[id], expected.second);
  }
  EXPECT_EQ(static_cast<std::size_t>(alive), model.size());
}

using SlabDeathTest = SlabTest;
TEST_F(SlabDeathTest, UseOfAFreeIdIsABug) {
  Slab<Counted> slab;
  ASSERT_TRUE(slab.reserve(memory.source(), 3));
  EXPECT_DEATH(slab.give_back(0), "assertion failed");
  const std::uint32_t id = slab.take(1);
  slab.give_back(id);
  EXPECT_DEATH(slab.give_back(id), "assertion failed");
  EXPECT_DEATH(static_cast<void>(slab[id]), "assertion failed");
}

}  // namespace
}  // namespace wgring
