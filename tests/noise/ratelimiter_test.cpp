#include "noise/ratelimiter.hpp"

#include <gtest/gtest.h>

#include "noise/constants.hpp"
#include "tests/noise/seeded_entropy.hpp"
#include "tests/support/memory.hpp"

namespace wgring::noise {
namespace {

IpAddress v4(std::uint32_t address) {
  IpAddress ip{.family = Family::v4};
  store_be32(ip.bytes.data(), address);
  return ip;
}
IpAddress v6(std::uint64_t high, std::uint64_t low) {
  IpAddress ip{.family = Family::v6};
  store_be64(ip.bytes.data(), high);
  store_be64(ip.bytes.data() + 8, low);
  return ip;
}

class RateLimiterTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(limiter.open(memory.source(), random.entropy())); }

  int burst(const IpAddress& address) {
    int passed = 0;
    while (passed < 100 && limiter.allow(address, now)) {
      passed += 1;
    }
    return passed;
  }
  // Until a round is through, as calls turn after turn would.
  void collect_all() {
    for (int i = 0; i < 100; ++i) {
      limiter.collect(now);
    }
  }

  test::TestMemory memory;
  test::SeededEntropy random{7};
  RateLimiter limiter;
  Instant now{1h};
};

TEST_F(RateLimiterTest, BurstOfFiveThenOnePerFiftyMilliseconds) {
  for (const IpAddress& address : {v4(0x0a000001), v6(0x2001'0db8'0000'0001, 1)}) {
    EXPECT_EQ(burst(address), 5);
    now += 49'999'999ns;
    EXPECT_FALSE(limiter.allow(address, now));
    now += 1ns;
    EXPECT_TRUE(limiter.allow(address, now));
    EXPECT_FALSE(limiter.allow(address, now));
    now += 100ms;
    EXPECT_EQ(burst(address), 2);
    now += 250ms;
    EXPECT_EQ(burst(address), 5);
    now += 900ms;  // the cap holds
    EXPECT_EQ(burst(address), 5);
  }
}

TEST_F(RateLimiterTest, RefusedPacketKeepsWhatWasRefilled) {
  const IpAddress address = v4(1);
  EXPECT_EQ(burst(address), 5);
  for (int i = 0; i < 4; ++i) {
    now += 10ms;
    EXPECT_FALSE(limiter.allow(address, now)) << i;
  }
  now += 10ms;
  EXPECT_TRUE(limiter.allow(address, now));
}

TEST_F(RateLimiterTest, TwentyPerSecondInTheLongRun) {
  int passed = 0;
  for (int ms = 0; ms < 10'000; ++ms) {
    passed += limiter.allow(v4(9), now) ? 1 : 0;
    limiter.collect(now);
    now += 1ms;
  }
  EXPECT_EQ(passed, 5 + 199);
}

TEST_F(RateLimiterTest, NeighboursAreUnaffected) {
  EXPECT_EQ(burst(v4(0x0a000001)), 5);
  EXPECT_EQ(burst(v4(0x0a000002)), 5);
  EXPECT_EQ(limiter.entries(), 2U);
}

// H44: a whole /64 is one source; the high bits make another.
TEST_F(RateLimiterTest, LowHalfOfV6IsIgnored) {
  for (std::uint64_t low = 0; low < 5; ++low) {
    EXPECT_TRUE(limiter.allow(v6(0x2001'0db8'0000'0001, low << 60U), now));
  }
  EXPECT_FALSE(limiter.allow(v6(0x2001'0db8'0000'0001, 99), now));
  EXPECT_TRUE(limiter.allow(v6(0x2001'0db8'0000'0002, 99), now));
  EXPECT_TRUE(limiter.allow(v6(0x2001'0db8'0000'0003, 0), now));
}

TEST_F(RateLimiterTest, FamiliesAreApart) {
  EXPECT_EQ(burst(v4(5)), 5);
  EXPECT_EQ(burst(v6(5, 0)), 5);
}

// H43: 65 536 pass and the next is refused; known ones still have their rate.
TEST_F(RateLimiterTest, TableIsCapped) {
  for (std::uint32_t i = 0; i < 65'536; ++i) {
    ASSERT_TRUE(limiter.allow(v4(i), now)) << i;
  }
  EXPECT_EQ(limiter.entries(), 65'536U);
  EXPECT_FALSE(limiter.allow(v4(65'536), now));
  EXPECT_FALSE(limiter.allow(v6(1, 1), now));
  EXPECT_TRUE(limiter.allow(v4(0), now));
  now += 1s;  // not yet idle for more than a second
  EXPECT_FALSE(limiter.allow(v4(65'536), now));
  now += 1ns;
  EXPECT_TRUE(limiter.allow(v4(65'536), now));
  EXPECT_EQ(limiter.entries(), 65'536U);
}

TEST_F(RateLimiterTest, CollectionTakesTheIdleOnly) {
  for (std::uint32_t i = 0; i < 10; ++i) {
    ASSERT_TRUE(limiter.allow(v4(i), now));
  }
  now += 600ms;
  EXPECT_TRUE(limiter.allow(v4(3), now));
  now += 400ms;
  limiter.collect(now);
  EXPECT_EQ(limiter.entries(), 10U);  // exactly a second is not yet idle
  now += 1s - 1ns;
  limiter.collect(now);
  EXPECT_EQ(limiter.entries(), 10U);  // once a second
  now += 1ns;
  limiter.collect(now);
  EXPECT_EQ(limiter.entries(), 0U);
  EXPECT_EQ(burst(v4(3)), 5);
}

TEST_F(RateLimiterTest, CollectionKeepsTheRecent) {
  ASSERT_TRUE(limiter.allow(v4(1), now));
  ASSERT_TRUE(limiter.allow(v4(2), now));
  now += 1s;
  ASSERT_TRUE(limiter.allow(v4(1), now));
  now += 1ns;
  limiter.collect(now);
  EXPECT_EQ(limiter.entries(), 1U);
  EXPECT_EQ(burst(v4(1)), 4);
}

TEST_F(RateLimiterTest, CollectionIsBoundedPerCallAndComesToAnEnd) {
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t i = 0; i < 65'536; ++i) {
      ASSERT_TRUE(limiter.allow(v4(i * 7), now));
    }
    now += 2s;
    limiter.collect(now);
    EXPECT_GT(limiter.entries(), 60'000U);
    EXPECT_LT(limiter.entries(), 65'536U);
    collect_all();
    EXPECT_EQ(limiter.entries(), 0U);
  }
}

TEST(RateLimiterOpen, FailsWithoutEntropyOrMemory) {
  test::TestMemory memory;
  test::SeededEntropy failing(1, test::SeededEntropy::Mode::failing);
  RateLimiter first;
  EXPECT_FALSE(first.open(memory.source(), failing.entropy()));
  test::SeededEntropy good(1);
  memory.set_commit_budget(1);
  RateLimiter second;
  EXPECT_FALSE(second.open(memory.source(), good.entropy()));
  memory.refuse_reservations(true);
  RateLimiter third;
  EXPECT_FALSE(third.open(memory.source(), good.entropy()));
}

}  // namespace
}  // namespace wgring::noise
