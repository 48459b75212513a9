// The one place where the data plane reads clocks.
#pragma once

#include <algorithm>

#include "base/time.hpp"

namespace wgring::tun {

// CLOCK_BOOTTIME (counts suspend, never goes back) and CLOCK_REALTIME. Any thread.
[[nodiscard]] Now read_clock() noexcept;

// `read`, but for a boottime before that of `last`: the core takes that for a fault of ours, and a
// process that was frozen and restored elsewhere, or a kernel, may give one. Time stands still then
// until the clock has caught up.
[[nodiscard]] constexpr Now no_earlier(const Now& last, const Now& read) noexcept {
  return {.boottime = std::max(last.boottime, read.boottime), .realtime = read.realtime};
}

// Time that the calling thread has spent on a processor. A system call, unlike the above.
[[nodiscard]] Duration read_thread_time() noexcept;

}  // namespace wgring::tun
