#include "tun/clock.hpp"

#include <time.h>

#include "base/assert.hpp"

namespace wgring::tun {
namespace {

Duration read(clockid_t clock) noexcept {
  timespec at{};
  WG_ASSERT(::clock_gettime(clock, &at) == 0);
  return std::chrono::seconds{at.tv_sec} + std::chrono::nanoseconds{at.tv_nsec};
}

}  // namespace

Now read_clock() noexcept {
  return {.boottime = Instant{read(CLOCK_BOOTTIME)}, .realtime = WallTime{read(CLOCK_REALTIME)}};
}

Duration read_thread_time() noexcept { return read(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace wgring::tun
