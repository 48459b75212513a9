// A socket in the network namespace where a TUN interface is now: link ioctls are asked there.
#pragma once

#include "base/result.hpp"
#include "tun/fd.hpp"

namespace wgring::tun {

// EXDEV: it is elsewhere and may not be entered. ENODEV: the interface is gone. A kernel that
// cannot tell (before 5.2) is taken at its word that nothing was moved.
[[nodiscard]] Result<Fd> open_link_socket(int tun_fd) noexcept;

}  // namespace wgring::tun
