#include "noise/tai64n.hpp"

#include <algorithm>

namespace wgring::noise {
namespace {

// TAI runs 10 s ahead of the UTC epoch in this encoding.
constexpr std::uint64_t unix_epoch_tai = 0x4000'0000'0000'000aULL;
constexpr std::uint32_t step_nanoseconds = std::uint32_t{1} << 24;
constexpr std::uint32_t second_nanoseconds = 1'000'000'000;
constexpr std::size_t nanoseconds_offset = 8;

Timestamp encode(std::uint64_t seconds, std::uint32_t nanoseconds) noexcept {
  Timestamp stamp{};
  store_be64(stamp.data(), seconds);
  store_be32(stamp.data() + nanoseconds_offset, nanoseconds);
  return stamp;
}

// The first whitened instant that is a whole step after `stamp`. A second is not a whole number of
// steps, hence the carry is looked at before and after rounding up.
Timestamp step_after(const Timestamp& stamp) noexcept {
  std::uint64_t seconds = load_be64(stamp.data());
  std::uint32_t nanoseconds = load_be32(stamp.data() + nanoseconds_offset) + step_nanoseconds;
  if (nanoseconds >= second_nanoseconds) {
    nanoseconds -= second_nanoseconds;
    ++seconds;
  }
  nanoseconds = (nanoseconds + step_nanoseconds - 1) & ~(step_nanoseconds - 1);
  if (nanoseconds >= second_nanoseconds) {
    nanoseconds = 0;
    ++seconds;
  }
  return encode(seconds, nanoseconds);
}

}  // namespace

Timestamp tai64n(WallTime now, const Timestamp& last_sent) noexcept {
  const auto whole = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch());
  const auto rest = static_cast<std::uint32_t>((now.time_since_epoch() - whole).count());
  // Unsigned arithmetic: a wall clock before 1970 simply lies below the epoch.
  const Timestamp current = encode(unix_epoch_tai + static_cast<std::uint64_t>(whole.count()),
                                   rest & ~(step_nanoseconds - 1));
  return std::max(current, step_after(last_sent));
}

bool is_after(const Timestamp& a, const Timestamp& b) noexcept { return a > b; }

}  // namespace wgring::noise
