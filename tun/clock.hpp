// The one place where the data plane reads clocks.
#pragma once

#include "base/time.hpp"

namespace wgring::tun {

// CLOCK_BOOTTIME (counts suspend, never goes back) and CLOCK_REALTIME. Any thread.
[[nodiscard]] Now read_clock() noexcept;

}  // namespace wgring::tun
