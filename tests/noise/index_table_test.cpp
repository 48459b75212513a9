#include "noise/index_table.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tests/noise/seeded_entropy.hpp"
#include "tests/support/memory.hpp"

namespace wgring::noise {
namespace {

constexpr IndexMark mark{0x9e37'79b1U, 0};

// Hands out the given words, then fails.
class ScriptedEntropy {
 public:
  explicit ScriptedEntropy(std::vector<std::uint32_t> words) : words_(std::move(words)) {}
  [[nodiscard]] Entropy entropy() noexcept { return {.context = this, .fill = &fill}; }

 private:
  static bool fill(void* context, MutableBytes to) noexcept {
    auto& self = *static_cast<ScriptedEntropy*>(context);
    if (self.next_ == self.words_.size() || to.size() != 4) {
      return false;
    }
    store_le32(to.data(), self.words_[self.next_++]);
    return true;
  }
  std::vector<std::uint32_t> words_;
  std::size_t next_ = 0;
};

class IndexTableTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(table.open(memory.source(), 1U << 20U)); }
  test::TestMemory memory;
  test::SeededEntropy random{8};
  IndexTable table{mark};
};

TEST_F(IndexTableTest, EmptyFindsNothing) {
  EXPECT_EQ(table.find(0), std::nullopt);
  EXPECT_EQ(table.insert(random.entropy(), {}, 0, 0), std::nullopt);  // no room made
  ASSERT_TRUE(table.ensure(1));
  EXPECT_EQ(table.find(0), std::nullopt);
  EXPECT_EQ(table.size(), 0U);
}

// fault: openbsd-index-zero
TEST_F(IndexTableTest, ZeroAndAllOnesAreOrdinaryIndices) {
  ASSERT_TRUE(table.ensure(3));
  ScriptedEntropy script({0, 0xffff'ffffU});
  const IndexRef first{.kind = IndexKind::handshake, .id = 0};
  const IndexRef second{.kind = IndexKind::keypair, .id = (1U << 30U) - 1};
  ASSERT_EQ(table.insert(script.entropy(), first, 0, 0), 0U);
  const std::uint32_t ones = mark.put_on(0xffff'ffffU);
  ASSERT_EQ(table.insert(script.entropy(), second, 0, 0), ones);
  EXPECT_EQ(table.find(0), first);
  EXPECT_EQ(table.find(ones), second);
  EXPECT_EQ(table.find(1), std::nullopt);
  table.remove(0);
  EXPECT_EQ(table.find(0), std::nullopt);
  EXPECT_EQ(table.find(ones), second);
}

TEST_F(IndexTableTest, DrawsAgainOnCollision) {
  ASSERT_TRUE(table.ensure(2));
  ScriptedEntropy script({77, 77, 77, 78});
  ASSERT_EQ(table.insert(script.entropy(), {.id = 1}, 0, 0), mark.put_on(77));
  ASSERT_EQ(table.insert(script.entropy(), {.id = 2}, 0, 0), mark.put_on(78));
  EXPECT_EQ(table.find(mark.put_on(77))->id, 1U);
  EXPECT_EQ(table.find(mark.put_on(78))->id, 2U);
}

TEST_F(IndexTableTest, BrokenEntropyEndsInRefusal) {
  ASSERT_TRUE(table.ensure(2));
  random.set_mode(test::SeededEntropy::Mode::failing);
  EXPECT_EQ(table.insert(random.entropy(), {}, 0, 0), std::nullopt);
  random.set_mode(test::SeededEntropy::Mode::constant);
  EXPECT_TRUE(table.insert(random.entropy(), {}, 0, 0).has_value());
  EXPECT_EQ(table.insert(random.entropy(), {}, 0, 0), std::nullopt);
  EXPECT_EQ(table.size(), 1U);
}

TEST_F(IndexTableTest, ReplaceKeepsTheIndex) {
  ASSERT_TRUE(table.ensure(1));
  const auto index = table.insert(random.entropy(), {.kind = IndexKind::handshake, .id = 3}, 0, 0);
  ASSERT_TRUE(index.has_value());
  const IndexRef keypair{.kind = IndexKind::keypair, .id = 9};
  table.replace(*index, keypair);
  EXPECT_EQ(table.find(*index), keypair);
  EXPECT_EQ(table.size(), 1U);
}

TEST_F(IndexTableTest, LowBitsNameTheShardAndEachBearsTheMark) {
  ASSERT_TRUE(table.ensure(1000));
  for (const std::uint32_t bits : {0U, 1U, 3U, 8U}) {
    const std::uint32_t mask = (1U << bits) - 1;
    for (std::uint32_t i = 0; i < 200; ++i) {
      const std::uint32_t shard = i & mask;
      const auto index = table.insert(random.entropy(), {.id = i}, shard, bits);
      ASSERT_TRUE(index.has_value());
      EXPECT_EQ(*index & mask, shard);
      EXPECT_TRUE(mark.is_on(*index));
      EXPECT_EQ(table.find(*index)->id, i);
    }
  }
}

// The first ones whose home in a table of 64 is `home`.
std::vector<std::uint32_t> at_home(std::uint32_t home, std::size_t wanted) {
  std::vector<std::uint32_t> found;
  for (std::uint32_t index = 0; found.size() < wanted; ++index) {
    if (mark.put_on(index) >> 26U == home) {
      found.push_back(mark.put_on(index));
    }
  }
  return found;
}

// Clusters that share a home, wrap around the end and overlap: every order of removal.
TEST_F(IndexTableTest, RemovalKeepsClustersWhole) {
  std::vector<std::uint32_t> indices;
  for (const auto& [home, wanted] : {std::pair{63U, 3U}, {0U, 2U}, {1U, 1U}}) {
    const std::vector<std::uint32_t> there = at_home(home, wanted);
    indices.insert(indices.end(), there.begin(), there.end());
  }
  std::vector<std::size_t> order{0, 1, 2, 3, 4, 5};
  do {
    ASSERT_TRUE(table.ensure(6));
    ScriptedEntropy script(indices);
    for (std::uint32_t i = 0; i < indices.size(); ++i) {
      ASSERT_EQ(table.insert(script.entropy(), {.id = i}, 0, 0), indices[i]);
    }
    for (std::size_t gone = 0; gone < order.size(); ++gone) {
      table.remove(indices[order[gone]]);
      for (std::size_t i = 0; i < order.size(); ++i) {
        ASSERT_EQ(table.find(indices[order[i]]).has_value(), i > gone);
      }
    }
    ASSERT_EQ(table.size(), 0U);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_F(IndexTableTest, HundredThousandEntriesComeAndGo) {
  constexpr std::uint32_t count = 100'000;
  std::map<std::uint32_t, IndexRef> model;
  std::mt19937_64 choose(3);
  for (std::uint32_t i = 0; i < count; ++i) {
    ASSERT_TRUE(table.ensure(i + 1));  // grows while it is in use
    const IndexRef ref{.kind = i % 3 == 0 ? IndexKind::handshake : IndexKind::keypair, .id = i};
    const auto index = table.insert(random.entropy(), ref, i % 4, 2);
    ASSERT_TRUE(index.has_value());
    ASSERT_TRUE(model.emplace(*index, ref).second);
  }
  for (int round = 0; round < 2; ++round) {
    for (auto at = model.begin(); at != model.end();) {
      ASSERT_EQ(table.find(at->first), at->second);
      if (choose() % 2 == 0) {
        table.remove(at->first);
        ASSERT_EQ(table.find(at->first), std::nullopt);
        at = model.erase(at);
      } else {
        ++at;
      }
    }
    ASSERT_EQ(table.size(), model.size());
    for (int i = 0; i < 100'000; ++i) {
      const auto index = static_cast<std::uint32_t>(choose());
      ASSERT_EQ(table.find(index).has_value(), model.contains(index));
    }
  }
  for (const auto& [index, ref] : model) {
    table.remove(index);
  }
  EXPECT_EQ(table.size(), 0U);
}

TEST_F(IndexTableTest, FullAtHalfOfItsCapacity) {
  ASSERT_TRUE(table.ensure(64));
  for (std::uint32_t i = 0; i < 64; ++i) {
    ASSERT_TRUE(table.insert(random.entropy(), {.id = i}, 0, 0).has_value());
  }
  EXPECT_EQ(table.insert(random.entropy(), {}, 0, 0), std::nullopt);
  EXPECT_EQ(table.size(), 64U);
}

TEST_F(IndexTableTest, GrowthFailsWithoutMemoryAndChangesNothing) {
  ASSERT_TRUE(table.ensure(32));
  const auto index = table.insert(random.entropy(), {.id = 5}, 0, 0);
  ASSERT_TRUE(index.has_value());
  memory.set_commit_budget(0);
  EXPECT_FALSE(table.ensure(1'000));
  memory.refuse_reservations(true);
  EXPECT_FALSE(table.ensure(1'000));
  EXPECT_FALSE(table.ensure((1U << 20U) + 1));
  EXPECT_EQ(table.find(*index)->id, 5U);
  EXPECT_EQ(memory.reservations(), 1U);
}

using IndexTableDeathTest = IndexTableTest;
// fault: freebsd-lookup
TEST_F(IndexTableDeathTest, AbsentIndexIsABug) {
  EXPECT_DEATH(table.remove(1), "assertion failed");
  ASSERT_TRUE(table.ensure(2));
  ScriptedEntropy script({7});
  ASSERT_TRUE(table.insert(script.entropy(), {}, 0, 0).has_value());
  EXPECT_DEATH(table.remove(1), "assertion failed");
  EXPECT_DEATH(table.replace(1, {}), "assertion failed");
  EXPECT_DEATH(table.replace(7, {.id = 1U << 30U}), "assertion failed");
}

}  // namespace
}  // namespace wgring::noise
