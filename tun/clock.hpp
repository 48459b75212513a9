// The one place where the data plane reads clocks.
#pragma once

#include "base/time.hpp"

namespace wgring::tun {

// CLOCK_BOOTTIME (counts suspend, never goes back) and CLOCK_REALTIME. Any thread.
[[nodiscard]] Now read_clock() noexcept;

// Time that the calling thread has spent on a processor. A system call, unlike the above.
[[nodiscard]] Duration read_thread_time() noexcept;

}  // namespace wgring::tun
