#include "noise/replay.hpp"

#include <memory>
#include <random>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/json_vectors.hpp"

namespace wgring::noise {
namespace {

constexpr std::uint64_t limit = reject_after_messages;

// The vectors take the paper's limit and ours is the kernel's, 63 further; the steps around it are
// meant relative to it.
std::uint64_t number(const boost::json::object& step, std::string_view key) {
  constexpr std::uint64_t vector_limit = 18'446'744'073'709'543'423ULL;
  const std::uint64_t counter = std::stoull(test::text_of(step, key));
  return counter > (std::uint64_t{1} << 63) ? counter + (limit - vector_limit) : counter;
}

int run_step(ReplayWindow& window, const boost::json::object& step) {
  if (step.contains("counter")) {
    const std::uint64_t counter = number(step, "counter");
    EXPECT_EQ(window.accept(counter), step.at("accept").as_bool()) << counter;
    return 1;
  }
  const std::uint64_t to = number(step, "to");
  const std::int64_t stride = step.at("step").as_int64();
  int steps = 0;
  for (std::uint64_t counter = number(step, "from");;
       counter += static_cast<std::uint64_t>(stride)) {
    EXPECT_EQ(window.accept(counter), step.at("accept").as_bool()) << counter;
    steps += 1;
    if (counter == to) {
      return steps;
    }
  }
}

// fault: lwip-window
TEST(ReplayWindow, Vectors) {
  const auto vectors = test::load_vectors("replay_window");
  int steps = 0;
  for (const auto& entry : test::array_of(vectors.as_object(), "groups")) {
    const auto& group = entry.as_object();
    SCOPED_TRACE(test::text_of(group, "name"));
    ReplayWindow window;
    for (const auto& step : test::array_of(group, "steps")) {
      steps += run_step(window, step.as_object());
    }
  }
  EXPECT_EQ(steps, 48'813);
}

TEST(ReplayWindow, FreshAcceptsZeroOnce) {
  ReplayWindow window;
  EXPECT_EQ(window.top(), 0U);
  EXPECT_TRUE(window.accept(0));
  EXPECT_EQ(window.top(), 1U);
  EXPECT_FALSE(window.accept(0));
  EXPECT_TRUE(window.accept(1));
}

TEST(ReplayWindow, ZeroedMemoryIsFresh) {
  alignas(ReplayWindow) ByteArray<sizeof(ReplayWindow)> memory{};
  auto* const window = reinterpret_cast<ReplayWindow*>(memory.data());
  EXPECT_EQ(window->top(), 0U);
  EXPECT_TRUE(window->accept(0));
}

// H50: behind a highest counter n, n - 8128 is the last one inside.
// fault: ts-tunnel
TEST(ReplayWindow, WindowEdges) {
  for (const std::uint64_t top : {std::uint64_t{8129}, std::uint64_t{100'000}, limit - 1}) {
    for (const std::uint64_t behind : {8127U, 8128U}) {
      ReplayWindow window;
      ASSERT_TRUE(window.accept(top));
      EXPECT_TRUE(window.accept(top - behind)) << top << " - " << behind;
      EXPECT_FALSE(window.accept(top - behind));
    }
    ReplayWindow window;
    ASSERT_TRUE(window.accept(top));
    EXPECT_FALSE(window.accept(top - 8129)) << top;
  }
}

// H48: 2^64 - 1, the limit, and the last valid one.
TEST(ReplayWindow, Limit) {
  ReplayWindow window;
  EXPECT_FALSE(window.accept(~std::uint64_t{0}));
  EXPECT_FALSE(window.accept(limit + 1));
  EXPECT_FALSE(window.accept(limit));
  EXPECT_EQ(window.top(), 0U);
  EXPECT_TRUE(window.accept(limit - 1));
  EXPECT_EQ(window.top(), limit);
  EXPECT_FALSE(window.accept(limit - 1));
  EXPECT_FALSE(window.accept(limit));
  EXPECT_FALSE(window.accept(0));
  EXPECT_TRUE(window.accept(limit - 2));
}

// H49: a jump of 2^63, then old ones.
TEST(ReplayWindow, GreatJumpForgetsAll) {
  constexpr std::uint64_t far = std::uint64_t{1} << 63;
  ReplayWindow window;
  for (std::uint64_t counter = 0; counter < 10'000; ++counter) {
    ASSERT_TRUE(window.accept(counter));
  }
  ASSERT_TRUE(window.accept(far));
  for (const std::uint64_t old : {std::uint64_t{0}, std::uint64_t{9'999}, std::uint64_t{10'000}}) {
    EXPECT_FALSE(window.accept(old)) << old;
  }
  // No bit of before the jump is left in the ring.
  for (std::uint64_t behind = 1; behind <= replay_window; ++behind) {
    ASSERT_TRUE(window.accept(far - behind)) << behind;
  }
  EXPECT_FALSE(window.accept(far - replay_window - 1));
}

TEST(ReplayWindow, RefusalChangesNothing) {
  ReplayWindow window;
  ASSERT_TRUE(window.accept(20'000));
  EXPECT_FALSE(window.accept(5));
  EXPECT_FALSE(window.accept(20'000));
  EXPECT_FALSE(window.accept(limit));
  EXPECT_EQ(window.top(), 20'001U);
}

TEST(ReplayWindow, ResetIsFresh) {
  ReplayWindow window;
  ASSERT_TRUE(window.accept(70'000));
  window.reset();
  EXPECT_EQ(window.top(), 0U);
  EXPECT_TRUE(window.accept(70'000));
}

// Against a set of all accepted ones, with steps of every size around the ring's.
// fault: zephyr-keepalive
TEST(ReplayWindow, AgreesWithAListOfAllSeen) {
  std::mt19937_64 random(13);
  ReplayWindow window;
  std::set<std::uint64_t> seen;
  std::uint64_t highest = 0;
  for (int i = 0; i < 200'000; ++i) {
    const std::uint64_t reach = std::uint64_t{1} << (random() % 15);
    const std::uint64_t counter = random() % 2 == 0 ? highest + random() % reach
                                                    : highest - std::min(highest, random() % reach);
    const bool fresh =
        !seen.contains(counter) && (seen.empty() || counter + replay_window >= highest);
    ASSERT_EQ(window.accept(counter), fresh) << counter << " at " << highest;
    if (fresh) {
      seen.insert(counter);
      highest = std::max(highest, counter);
    }
  }
}

}  // namespace
}  // namespace wgring::noise
