#include "noise/drop.hpp"

#include <set>

#include <gtest/gtest.h>

namespace wgring::noise {
namespace {

TEST(Drop, EveryReasonHasItsOwnName) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < drop_count; ++i) {
    const std::string_view name = drop_name(static_cast<Drop>(i));
    EXPECT_FALSE(name.empty()) << i;
    EXPECT_TRUE(names.insert(name).second) << name;
  }
  EXPECT_EQ(drop_name(Drop::replayed), "replayed");
  EXPECT_TRUE(drop_name(Drop::count).empty());
}

TEST(Drop, CountersAreApart) {
  DropCounters counters;
  counters.add(Drop::bad_tag);
  counters.add(Drop::replayed, 5);
  EXPECT_EQ(counters[Drop::bad_tag], 1U);
  EXPECT_EQ(counters[Drop::replayed], 5U);
  EXPECT_EQ(counters[Drop::malformed], 0U);
}

}  // namespace
}  // namespace wgring::noise
