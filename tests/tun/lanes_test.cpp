// Lanes by themselves: every job once, whatever the number of jobs and threads, and an end under
// load. What they do to packets is in shard_test.cpp; the preset tsan runs both.
#include "tun/lanes.hpp"

#include <chrono>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "crypto/self_test.hpp"
#include "tun/busy_meter.hpp"
#include "tun/clock.hpp"
#include "tun/lane_choice.hpp"

namespace wgring::tun::test {
namespace {

using namespace std::chrono_literals;

// Plain numbers: each is written by who runs its job and read by the owner afterwards.
struct Work {
  explicit Work(std::size_t count) : times(count), sums(count) {}

  [[nodiscard]] noise::Jobs jobs() {
    return {.run = [](void* at, std::size_t index) noexcept { static_cast<Work*>(at)->run(index); },
            .work = this,
            .count = times.size()};
  }
  void run(std::size_t index) noexcept {
    for (std::uint32_t i = 0; i < length; ++i) {
      sums[index] = sums[index] * 31 + i;
    }
    times[index] += 1;
  }

  std::vector<std::uint32_t> times;
  std::vector<std::uint64_t> sums;
  std::uint32_t length = 10;
};

class LanesTest : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(crypto::initialise()); }
  void start(Lanes& lanes) const {
    ASSERT_TRUE(lanes.start({.count = GetParam(), .bytes_min = 0, .only_when_busy = false}));
  }
};

INSTANTIATE_TEST_SUITE_P(Threads, LanesTest, ::testing::Values(1, 2, 3, lanes_max));

TEST_P(LanesTest, EveryJobRunsOnce) {
  Lanes lanes;
  start(lanes);
  const noise::JobRunner runner = lanes.runner();
  EXPECT_EQ(runner.threads, GetParam() + 1);
  std::uint64_t jobs = 0;
  for (const std::size_t count : {0U, 1U, 2U, 3U, 7U, 64U, 256U, 1000U}) {
    for (std::uint32_t round = 1; round <= 50; ++round) {
      Work work(count);
      runner.run(runner.context, work.jobs());
      ASSERT_EQ(work.times, std::vector<std::uint32_t>(count, 1)) << count;
      jobs += count;
    }
  }
  EXPECT_EQ(lanes.counters().batches, 400U);
  EXPECT_LE(lanes.counters().jobs, jobs);
}

TEST_P(LanesTest, SetsFollowEachOtherAtOnceAndAfterASleep) {
  Lanes lanes;
  start(lanes);
  Work work(3 * GetParam());
  for (std::uint32_t round = 1; round <= 3000; ++round) {
    if (round % 100 == 0) {
      std::this_thread::sleep_for(1ms);  // long enough for all of them to fall asleep
    }
    lanes.run(work.jobs());
    ASSERT_EQ(work.times, std::vector<std::uint32_t>(work.times.size(), round));
  }
  EXPECT_GT(lanes.counters().wakeups, 0U);
}

TEST_P(LanesTest, LanesTakeTheirShareOfLongJobs) {
  Lanes lanes;
  start(lanes);
  Work work(64);
  work.length = 100'000;
  std::uint64_t jobs = 0;
  // On a machine that is busy with other things a lane or the owner may come too late, not always.
  const auto is_shared = [&] { return lanes.counters().jobs > 0 && lanes.counters().jobs < jobs; };
  for (int round = 0; round < 100 && !is_shared(); ++round) {
    lanes.run(work.jobs());
    jobs += work.times.size();
  }
  EXPECT_GT(lanes.counters().jobs, 0U);
  EXPECT_LT(lanes.counters().jobs, jobs) << "the owner works too";
}

TEST_P(LanesTest, TheyEndWhateverTheyDo) {
  for (int round = 0; round < 30; ++round) {
    Lanes lanes;
    start(lanes);
    if (round % 3 == 1) {
      std::this_thread::sleep_for(500us);  // asleep
    }
    Work work(16);
    for (int i = 0; i < round % 3; ++i) {
      lanes.run(work.jobs());
    }
    lanes.stop();
    EXPECT_EQ(lanes.runner().worth, nullptr);
  }
}

TEST(Lanes, WithoutLanesThereIsNoRunner) {
  Lanes lanes;
  ASSERT_TRUE(lanes.start({}));
  EXPECT_EQ(lanes.runner().worth, nullptr);
  lanes.note_turn();
}

TEST(Lanes, SmallBatchesAndQuietTimesStayWithTheOwner) {
  Lanes lanes;
  ASSERT_TRUE(lanes.start({.count = 1, .bytes_min = 1000}));
  EXPECT_FALSE(lanes.worth(1'000'000)) << "nothing was ever busy";
  for (std::uint32_t i = 0; i < 4 * BusyMeter::turns_per_window; ++i) {
    std::this_thread::sleep_for(100us);
    lanes.note_turn();
  }
  EXPECT_FALSE(lanes.worth(1'000'000)) << "it slept between turns";
  EXPECT_EQ(lanes.counters().windows, 4U);
}

// The two clocks together: with one of them wrong no lane would ever be asked.
TEST(Lanes, AThreadWithoutRestIsWorthHelp) {
  Lanes lanes;
  ASSERT_TRUE(lanes.start({.count = 1, .bytes_min = 1000}));
  // A window may be short of nine tenths because others want the processor, but not all are.
  const Instant end = read_clock().boottime + 10s;
  while (!lanes.worth(1'000'000) && read_clock().boottime < end) {
    const Instant turn = read_clock().boottime + 20us;
    while (read_clock().boottime < turn) {
    }
    lanes.note_turn();
  }
  EXPECT_TRUE(lanes.worth(1'000'000));
  EXPECT_GT(lanes.counters().windows_busy, 0U);
  EXPECT_FALSE(lanes.worth(999)) << "small ones stay";
}

TEST(Lanes, ABatchAtTheThresholdIsWorthIt) {
  Lanes lanes;
  ASSERT_TRUE(lanes.start({.count = 1, .bytes_min = 1000, .only_when_busy = false}));
  EXPECT_FALSE(lanes.worth(999));
  EXPECT_TRUE(lanes.worth(1000));
}

// --- when ---

class Meter : public ::testing::Test {
 protected:
  // A window of 10 ms of which so much was spent on the processor.
  bool after(Duration used) {
    for (std::uint32_t i = 1; i < BusyMeter::turns_per_window; ++i) {
      EXPECT_FALSE(meter.count_turn());
    }
    EXPECT_TRUE(meter.count_turn());
    wall += 10ms;
    cpu += used;
    meter.measure(wall, cpu);
    return meter.is_busy();
  }
  BusyMeter meter;
  Instant wall{1h};
  Duration cpu{5s};
};

TEST_F(Meter, BusyBeginsAtNineTenthsAndEndsBelowOneHalf) {
  EXPECT_FALSE(after(10ms)) << "of the first window the beginning is not known";
  EXPECT_FALSE(after(8900us));
  EXPECT_TRUE(after(9000us));
  EXPECT_TRUE(after(6000us)) << "with help there is rest";
  EXPECT_TRUE(after(5000us));
  EXPECT_FALSE(after(4900us));
  EXPECT_FALSE(after(8900us));
  EXPECT_TRUE(after(10ms));
}

TEST_F(Meter, ALongSleepEndsIt) {
  EXPECT_FALSE(after(10ms));
  EXPECT_TRUE(after(10ms));
  wall += 10s;
  EXPECT_FALSE(after(10ms));
}

TEST(LaneChoice, AutomaticIsNeverWorseThanNone) {
  EXPECT_EQ(choose_lanes({}, 1, 1).count, 0U);
  EXPECT_EQ(choose_lanes({}, 1, 2).count, 0U);
  EXPECT_EQ(choose_lanes({}, 1, 3).count, 0U);
  EXPECT_EQ(choose_lanes({}, 1, 4).count, 2U);
  EXPECT_EQ(choose_lanes({}, 1, 5).count, 3U);
  EXPECT_EQ(choose_lanes({}, 1, 256).count, 3U);
  EXPECT_EQ(choose_lanes({}, 2, 256).count, 0U) << "shards have them";
  EXPECT_EQ(choose_lanes(0, 1, 256).count, 0U);
  EXPECT_EQ(choose_lanes(7, 1, 1).count, 7U);
  EXPECT_GE(usable_processors(), 1U);
}

}  // namespace
}  // namespace wgring::tun::test
