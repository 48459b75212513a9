// What the kernel says of a TUN interface, asked in the network namespace where it is now.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.hpp"
#include "tun/fd.hpp"

namespace wgring::tun {

struct LinkAnswer {
  std::uint32_t index = 0;  // in the namespace where it is
  std::uint32_t mtu_bytes = 0;
  bool up = false;
  // Queues of a TUN that are open somewhere; nothing: the kernel does not say (before 4.20), or it
  // is no TUN.
  std::optional<std::uint32_t> tun_queues;
};

// Asks by netlink, which answers for another namespace too: that takes CAP_NET_ADMIN there (Linux
// 4.15), and no visit. ENODEV: the interface is gone. EXDEV: it is where we may not ask. A kernel
// that cannot tell where it is (before 5.2) is taken at its word that nothing was moved.
[[nodiscard]] Result<LinkAnswer> ask_link(int tun_fd, const char* name) noexcept;

// The interface of that name in our own namespace. ENODEV: there is none.
[[nodiscard]] Result<LinkAnswer> ask_link_here(const char* name) noexcept;

// In our own namespace, or the kernel cannot tell.
[[nodiscard]] bool is_at_home(int tun_fd) noexcept;

}  // namespace wgring::tun
