#include "noise/tai64n.hpp"

#include <gtest/gtest.h>

#include "noise/constants.hpp"
#include "tests/support/json_vectors.hpp"

namespace wgring::noise {
namespace {

using test::hex;
using test::unhex_array;

constexpr Timestamp none{};
constexpr std::int64_t step = std::int64_t{1} << 24;

WallTime wall(std::int64_t seconds, std::int64_t nanoseconds) {
  return WallTime{std::chrono::seconds{seconds} + Duration{nanoseconds}};
}

Duration since_epoch(const Timestamp& stamp) {
  const std::uint64_t seconds = load_be64(stamp.data()) - 0x4000'0000'0000'000aULL;
  return std::chrono::seconds{static_cast<std::int64_t>(seconds)} +
         Duration{load_be32(stamp.data() + 8)};
}

TEST(Tai64n, EncodesAndWhitens) {
  const struct {
    WallTime now;
    const char* stamp;
  } table[] = {
      {wall(0, 0), "400000000000000a00000000"},
      {wall(1, step - 1), "400000000000000b00000000"},
      {wall(1, step), "400000000000000b01000000"},
      {wall(1, 2 * step - 1), "400000000000000b01000000"},
      {wall(1, 999'999'999), "400000000000000b3b000000"},
      // The instant of the first recorded handshake, whose sender did not whiten yet.
      {wall(0x5b52'647b - 10, 0x1540'5610), "400000005b52647b15000000"},
      {wall(-1, 0), "400000000000000900000000"},
      {wall(-11, 0), "3fffffffffffffff00000000"},
      {wall(0, -1), "40000000000000093b000000"},
      {wall(0x1'0000'0000, 0), "400000010000000a00000000"},
  };
  for (const auto& row : table) {
    EXPECT_EQ(hex(tai64n(row.now, none)), row.stamp);
  }
}

TEST(Tai64n, StaysAStepAheadOfTheLastOne) {
  const struct {
    WallTime now;
    const char* last;
    const char* stamp;
  } table[] = {
      {wall(5, 0), "400000000000000f00000000", "400000000000000f01000000"},
      {wall(5, step), "400000000000000f00000000", "400000000000000f01000000"},
      {wall(5, 2 * step), "400000000000000f00000000", "400000000000000f02000000"},
      // Less than a step after the last one, although in the next second.
      {wall(6, 0), "400000000000000f3b000000", "400000000000001001000000"},
      {wall(1, 0), "400000000000000f05000000", "400000000000000f06000000"},
      {wall(-100, 0), "400000000000000f05000000", "400000000000000f06000000"},
      // A last one that was not whitened: rounded up.
      {wall(5, 0), "400000000000000f00000001", "400000000000000f02000000"},
      {wall(5, 0), "400000000000000f3a000001", "400000000000001000000000"},
      {wall(5, 0), "400000000000000f3b9ac9ff", "400000000000001001000000"},
  };
  for (const auto& row : table) {
    EXPECT_EQ(hex(tai64n(row.now, unhex_array<12>(row.last))), row.stamp) << row.last;
  }
}

TEST(Tai64n, EverySequenceOfClocksGivesARisingSequence) {
  Timestamp last = tai64n(wall(1'700'000'000, 0), none);
  std::uint64_t random = 7;
  for (int i = 0; i < 20'000; ++i) {
    random = random * 6'364'136'223'846'793'005ULL + 1'442'695'040'888'963'407ULL;
    const auto jump = static_cast<std::int64_t>(random >> 34U) - (std::int64_t{1} << 29);
    const WallTime now{since_epoch(last) + Duration{jump}};
    const Timestamp stamp = tai64n(now, last);
    ASSERT_TRUE(is_after(stamp, last)) << hex(stamp) << " after " << hex(last);
    ASSERT_GE(since_epoch(stamp), since_epoch(last) + Duration{step});
    ASSERT_GT(since_epoch(stamp) + Duration{step}, now.time_since_epoch());
    ASSERT_EQ(load_be32(stamp.data() + 8) % step, 0U);
    ASSERT_LT(load_be32(stamp.data() + 8), 1'000'000'000U);
    last = stamp;
  }
}

TEST(Tai64n, ComparesAsBytesAndStrictly) {
  const struct {
    const char* a;
    const char* b;
    bool after;
  } table[] = {
      {"000000000000000000000000", "000000000000000000000000", false},
      {"000000000000000000000001", "000000000000000000000000", true},
      {"400000000000000a00000000", "3fffffffffffffffffffffff", true},
      {"400000000000000aff000000", "400000000000000b00000000", false},
      {"ffffffffffffffffffffffff", "7fffffffffffffffffffffff", true},
      {"ffffffffffffffffffffffff", "ffffffffffffffffffffffff", false},
      {"7fffffffffffffffffffffff", "8000000000000000ffffffff", false},
  };
  for (const auto& row : table) {
    EXPECT_EQ(is_after(unhex_array<12>(row.a), unhex_array<12>(row.b)), row.after) << row.a;
  }
}

}  // namespace
}  // namespace wgring::noise
