// What the questions to the kernel's routing netlink share: a socket with an owner, and a number.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <sys/socket.h>

namespace wgring::tun {

struct NetlinkCloser {
  void operator()(mnl_socket* socket) const noexcept {
    static_cast<void>(::mnl_socket_close(socket));
  }
};
using NetlinkSocket = std::unique_ptr<mnl_socket, NetlinkCloser>;

// Bound, in no group; closed by exec. Null: errno says why.
[[nodiscard]] inline NetlinkSocket open_route_netlink(int more_flags = 0) noexcept {
  NetlinkSocket socket(::mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | more_flags));
  if (socket != nullptr && ::mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) != 0) {
    socket.reset();
  }
  return socket;
}

// The number in an attribute, if it is of this type and holds one.
[[nodiscard]] inline std::optional<std::uint32_t> number_in(const nlattr* attribute,
                                                            std::uint16_t type) noexcept {
  const bool fits =
      ::mnl_attr_get_type(attribute) == type && ::mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0;
  return fits ? std::optional{::mnl_attr_get_u32(attribute)} : std::nullopt;
}

}  // namespace wgring::tun
