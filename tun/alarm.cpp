#include "tun/alarm.hpp"

#include <cstdint>

#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/assert.hpp"

namespace wgring::tun {

Status Alarm::open() noexcept {
  fd_ = Fd{::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC)};
  if (!fd_) {
    return fail(errno, "timerfd_create(CLOCK_BOOTTIME)");
  }
  armed_ = never;
  return {};
}

void Alarm::set(Instant deadline) noexcept {
  if (deadline >= armed_) {
    return;
  }
  // A value of zero would disarm: an instant in the far past is as due as the first nanosecond.
  const Duration at =
      deadline.time_since_epoch() > Duration{0} ? deadline.time_since_epoch() : Duration{1};
  const auto seconds = std::chrono::floor<std::chrono::seconds>(at);
  itimerspec value{};
  value.it_value.tv_sec = seconds.count();
  value.it_value.tv_nsec = (at - seconds).count();
  WG_ASSERT(::timerfd_settime(fd_.get(), TFD_TIMER_ABSTIME, &value, nullptr) == 0);
  armed_ = deadline;
}

void Alarm::clear() noexcept {
  std::uint64_t expirations = 0;
  // EAGAIN: set() came between; the new deadline stays armed.
  if (::read(fd_.get(), &expirations, sizeof expirations) == sizeof expirations) {
    armed_ = never;
  }
}

}  // namespace wgring::tun
