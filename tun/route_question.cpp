#include "tun/route_question.hpp"

#include <utility>

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "base/assert.hpp"

namespace wgring::tun {
namespace {

constexpr std::uint8_t address_bits = 32;

void put_address(nlmsghdr* request, std::uint16_t attribute,
                 const noise::IpAddress& address) noexcept {
  WG_ASSERT(address.family == noise::Family::v4);
  ::mnl_attr_put(request, attribute, address_bits / 8, address.bytes.data());
}

nlmsghdr* begin(RouteQuestion::Buffer& buffer, const noise::IpAddress& to) noexcept {
  nlmsghdr* const request = ::mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETROUTE;
  request->nlmsg_flags = NLM_F_REQUEST;
  auto* const route = static_cast<rtmsg*>(::mnl_nlmsg_put_extra_header(request, sizeof(rtmsg)));
  route->rtm_family = AF_INET;
  route->rtm_dst_len = address_bits;
  put_address(request, RTA_DST, to);
  return request;
}

struct Route {
  std::uint8_t type = RTN_UNSPEC;
  std::uint32_t interface_index = 0;
};

int take_interface(const nlattr* attribute, void* into) noexcept {
  if (const auto index = number_in(attribute, RTA_OIF)) {
    static_cast<Route*>(into)->interface_index = *index;
  }
  return MNL_CB_OK;
}

int on_route(const nlmsghdr* message, void* into) noexcept {
  if (::mnl_nlmsg_get_payload_len(message) < sizeof(rtmsg)) {
    return MNL_CB_OK;
  }
  static_cast<Route*>(into)->type =
      static_cast<const rtmsg*>(::mnl_nlmsg_get_payload(message))->rtm_type;
  return ::mnl_attr_parse(message, sizeof(rtmsg), take_interface, into);
}

// Sends what is in `buffer`. 0, or an errno; EAGAIN: no answer was there.
int exchange(mnl_socket* socket, RouteQuestion::Buffer& buffer, std::uint32_t sequence,
             Route& route) noexcept {
  auto* const request = reinterpret_cast<nlmsghdr*>(buffer.data());  // NOLINT: libmnl's
  request->nlmsg_seq = sequence;
  if (::mnl_socket_sendto(socket, request, request->nlmsg_len) < 0) {
    return EAGAIN;
  }
  const ssize_t bytes = ::mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
  if (bytes < 0) {
    return EAGAIN;
  }
  const int result = ::mnl_cb_run(buffer.data(), static_cast<std::size_t>(bytes), sequence,
                                  ::mnl_socket_get_portid(socket), on_route, &route);
  return result == MNL_CB_ERROR ? errno : 0;
}

}  // namespace

Result<RouteQuestion> RouteQuestion::open() noexcept {
  NetlinkSocket socket = open_route_netlink(SOCK_NONBLOCK);
  if (socket == nullptr) {
    return fail(errno, "socket(NETLINK_ROUTE): to ask for routes");
  }
  return RouteQuestion(std::move(socket));
}

std::optional<RouteAnswer> RouteQuestion::ask(const RouteQuery& query) noexcept {
  const noise::Endpoint& endpoint = query.endpoint;
  alignas(nlmsghdr) Buffer buffer;  // NOLINT: filled below
  nlmsghdr* const request = begin(buffer, endpoint.remote.ip);
  static_cast<rtmsg*>(::mnl_nlmsg_get_payload(request))->rtm_src_len = address_bits;
  put_address(request, RTA_SRC, endpoint.source.ip);
  ::mnl_attr_put_u32(request, RTA_MARK, query.fwmark);
  // Kernels before 4.17 pass over these, by which their rules cannot choose.
  ::mnl_attr_put_u8(request, RTA_IP_PROTO, IPPROTO_UDP);
  ::mnl_attr_put_u16(request, RTA_SPORT, htons(query.local_port));
  ::mnl_attr_put_u16(request, RTA_DPORT, htons(endpoint.remote.port));
  Route route;
  const int error = exchange(socket_.get(), buffer, ++sequence_, route);
  if (error == EAGAIN || (error == 0 && route.interface_index == 0)) {
    return std::nullopt;
  }
  // From 5.11 on a source that is not ours is told as want of a way.
  if (error == ENETUNREACH && !is_ours(endpoint.source.ip)) {
    return RouteAnswer{.errno_value = EINVAL};
  }
  return RouteAnswer{.errno_value = error, .interface_index = route.interface_index};
}

bool RouteQuestion::is_ours(const noise::IpAddress& address) noexcept {
  alignas(nlmsghdr) Buffer buffer;  // NOLINT: filled below
  static_cast<void>(begin(buffer, address));
  Route route;
  const int error = exchange(socket_.get(), buffer, ++sequence_, route);
  return error == EAGAIN || (error == 0 && route.type == RTN_LOCAL);
}

}  // namespace wgring::tun
