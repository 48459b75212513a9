// Instants are types: boottime for ages and timers, realtime only for TAI64N and for people.
// Nothing left of tun/ reads a clock; the caller hands in one Now per turn.
#pragma once

#include <chrono>

namespace wgring {

using Duration = std::chrono::nanoseconds;

// Tags without now(): a clock of these cannot be read by accident.
struct BoottimeClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
};
struct RealtimeClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
};

// CLOCK_BOOTTIME: monotonic, counts suspend (protocol 14.5).
using Instant = std::chrono::time_point<BoottimeClock, Duration>;
// CLOCK_REALTIME: nanoseconds since 1970-01-01 UTC; may step either way.
using WallTime = std::chrono::time_point<RealtimeClock, Duration>;

// No deadline at all.
inline constexpr Instant never = Instant::max();

struct Now {
  Instant boottime;
  WallTime realtime;
};

}  // namespace wgring
