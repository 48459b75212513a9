#include "base/fixed_vector.hpp"

#include <memory>

#include <gtest/gtest.h>

namespace wgring {
namespace {

TEST(FixedVector, FillsInOrder) {
  FixedVector<int, 3> numbers;
  EXPECT_TRUE(numbers.empty());
  EXPECT_EQ(numbers.room(), 3U);
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(numbers.push_back(i), i);
    EXPECT_EQ(numbers.back(), i);
  }
  EXPECT_EQ(numbers.size(), 3U);
  EXPECT_EQ(numbers.room(), 0U);
  int sum = 0;
  for (const int number : numbers) {
    sum = sum * 10 + number;
  }
  EXPECT_EQ(sum, 123);
  EXPECT_EQ(numbers.end() - numbers.begin(), 3);
  numbers[1] = 9;
  EXPECT_EQ(numbers[1], 9);
}

TEST(FixedVector, ClearGivesUpWhatElementsHold) {
  const auto held = std::make_shared<int>(1);
  FixedVector<std::shared_ptr<int>, 4> holders;
  holders.push_back(held);
  holders.push_back(held);
  EXPECT_EQ(held.use_count(), 3);
  holders.clear();
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_TRUE(holders.empty());
  EXPECT_EQ(holders.begin(), holders.end());
}

TEST(FixedVector, TakesWhatOnlyMoves) {
  FixedVector<std::unique_ptr<int>, 2> owners;
  owners.push_back(std::make_unique<int>(5));
  EXPECT_EQ(*owners[0], 5);
}

TEST(FixedVectorDeathTest, BoundsAreChecked) {
  FixedVector<int, 1> numbers;
  EXPECT_DEATH(static_cast<void>(numbers[0]), "assertion failed");
  EXPECT_DEATH(static_cast<void>(numbers.back()), "assertion failed");
  numbers.push_back(1);
  EXPECT_DEATH(numbers.push_back(2), "assertion failed");
  EXPECT_DEATH(static_cast<void>(numbers[1]), "assertion failed");
}

}  // namespace
}  // namespace wgring
