#include "tun/link_manners.hpp"

#include <array>

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "tun/netlink.hpp"

namespace wgring::tun {
namespace {

using Buffer = std::array<char, 1024>;

nlmsghdr* begin(Buffer& buffer, const char* name) noexcept {
  nlmsghdr* const request = ::mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_SETLINK;
  request->nlmsg_flags = NLM_F_REQUEST;
  auto* const link =
      static_cast<ifinfomsg*>(::mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
  link->ifi_family = AF_UNSPEC;
  ::mnl_attr_put_strz(request, IFLA_IFNAME, name);
  return request;
}

// IFLA_AF_SPEC { AF_INET6 { IFLA_INET6_ADDR_GEN_MODE } }
void give_no_address(mnl_socket* socket, const char* name) noexcept {
  alignas(nlmsghdr) Buffer buffer;  // NOLINT: filled below
  nlmsghdr* const request = begin(buffer, name);
  nlattr* const families = ::mnl_attr_nest_start(request, IFLA_AF_SPEC);
  nlattr* const v6 = ::mnl_attr_nest_start(request, AF_INET6);
  ::mnl_attr_put_u8(request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  ::mnl_attr_nest_end(request, v6);
  ::mnl_attr_nest_end(request, families);
  static_cast<void>(::mnl_socket_sendto(socket, request, request->nlmsg_len));
}

// IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF { number of the setting } } }
void send_no_redirects(mnl_socket* socket, const char* name) noexcept {
  alignas(nlmsghdr) Buffer buffer;  // NOLINT: filled below
  nlmsghdr* const request = begin(buffer, name);
  nlattr* const families = ::mnl_attr_nest_start(request, IFLA_AF_SPEC);
  nlattr* const v4 = ::mnl_attr_nest_start(request, AF_INET);
  nlattr* const settings = ::mnl_attr_nest_start(request, IFLA_INET_CONF);
  ::mnl_attr_put_u32(request, IPV4_DEVCONF_SEND_REDIRECTS, 0);
  ::mnl_attr_nest_end(request, settings);
  ::mnl_attr_nest_end(request, v4);
  ::mnl_attr_nest_end(request, families);
  static_cast<void>(::mnl_socket_sendto(socket, request, request->nlmsg_len));
}

}  // namespace

// The kernel has done it, or not, when a send returns.
void teach_link_manners(const char* name) noexcept {
  if (const NetlinkSocket socket = open_route_netlink()) {
    give_no_address(socket.get(), name);
    send_no_redirects(socket.get(), name);
  }
}

}  // namespace wgring::tun
