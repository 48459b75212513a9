#include "tun/link_question.hpp"

#include <array>
#include <optional>
#include <string_view>

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tun/netlink.hpp"

namespace wgring::tun {
namespace {

// A link with attributes of every kind takes a few kilobytes.
using Buffer = std::array<char, 32 * 1024>;

constexpr std::uint32_t sequence = 1;

bool same_file(int a, int b) noexcept {
  struct stat of_a{};
  struct stat of_b{};
  return ::fstat(a, &of_a) == 0 && ::fstat(b, &of_b) == 0 && of_a.st_ino == of_b.st_ino &&
         of_a.st_dev == of_b.st_dev;
}

// Sends what is in `buffer` and reads until the answer or the acknowledgement; 0, or an errno.
int exchange(mnl_socket* socket, Buffer& buffer, mnl_cb_t each, void* into) noexcept {
  const auto* const request = reinterpret_cast<const nlmsghdr*>(buffer.data());  // NOLINT: libmnl's
  if (::mnl_socket_sendto(socket, request, request->nlmsg_len) < 0) {
    return errno;
  }
  int result = MNL_CB_OK;
  while (result == MNL_CB_OK) {
    const ssize_t bytes = ::mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
    if (bytes < 0) {
      return errno;
    }
    result = ::mnl_cb_run(buffer.data(), static_cast<std::size_t>(bytes), sequence,
                          ::mnl_socket_get_portid(socket), each, into);
  }
  return result == MNL_CB_STOP ? 0 : errno;
}

nlmsghdr* begin(Buffer& buffer, std::uint16_t type) noexcept {
  nlmsghdr* const request = ::mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = type;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request->nlmsg_seq = sequence;
  return request;
}

// --- the number under which our namespace knows another one ---

int take_number(const nlattr* attribute, void* into) noexcept {
  if (const auto number = number_in(attribute, NETNSA_NSID)) {
    *static_cast<std::int32_t*>(into) = static_cast<std::int32_t>(*number);
  }
  return MNL_CB_OK;
}

int on_number(const nlmsghdr* message, void* into) noexcept {
  return ::mnl_attr_parse(message, sizeof(rtgenmsg), take_number, into);
}

int ask_number(mnl_socket* socket, std::uint16_t type, int namespace_fd,
               std::int32_t& number) noexcept {
  alignas(nlmsghdr) Buffer buffer;  // NOLINT: filled below
  nlmsghdr* const request = begin(buffer, type);
  auto* const general =
      static_cast<rtgenmsg*>(::mnl_nlmsg_put_extra_header(request, sizeof(rtgenmsg)));
  general->rtgen_family = AF_UNSPEC;
  ::mnl_attr_put_u32(request, NETNSA_FD, static_cast<std::uint32_t>(namespace_fd));
  if (type == RTM_NEWNSID) {
    ::mnl_attr_put_u32(request, NETNSA_NSID, static_cast<std::uint32_t>(NETNSA_NSID_NOT_ASSIGNED));
  }
  return exchange(socket, buffer, on_number, &number);
}

// One that has no number yet is given one, for as long as it lives.
Result<std::int32_t> number_of(mnl_socket* socket, int namespace_fd) noexcept {
  std::int32_t number = NETNSA_NSID_NOT_ASSIGNED;
  int error = ask_number(socket, RTM_GETNSID, namespace_fd, number);
  if (error == 0 && number == NETNSA_NSID_NOT_ASSIGNED) {
    error = ask_number(socket, RTM_NEWNSID, namespace_fd, number);
    error = error == 0 ? ask_number(socket, RTM_GETNSID, namespace_fd, number) : error;
  }
  if (error != 0 || number == NETNSA_NSID_NOT_ASSIGNED) {
    return fail(EXDEV, "netlink: the interface's namespace cannot be named (CAP_NET_ADMIN)");
  }
  return number;
}

// --- the link ---

// Attributes are nested: IFLA_LINKINFO { IFLA_INFO_DATA { IFLA_TUN_NUM_QUEUES } }. Of another
// kind of interface the innermost are something else, so the kind is asked for before.
struct LinkParts {
  LinkAnswer* answer;
  bool is_tun = false;
  const nlattr* data = nullptr;
};

int take_tun_attribute(const nlattr* attribute, void* into) noexcept {
  if (const auto queues = number_in(attribute, IFLA_TUN_NUM_QUEUES)) {
    static_cast<LinkAnswer*>(into)->tun_queues = queues;
  }
  return MNL_CB_OK;
}

int take_info(const nlattr* attribute, void* into) noexcept {
  auto* const parts = static_cast<LinkParts*>(into);
  if (::mnl_attr_get_type(attribute) == IFLA_INFO_KIND &&
      ::mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0) {
    parts->is_tun = std::string_view{::mnl_attr_get_str(attribute)} == "tun";
  } else if (::mnl_attr_get_type(attribute) == IFLA_INFO_DATA) {
    parts->data = attribute;
  }
  return MNL_CB_OK;
}

int take_link_attribute(const nlattr* attribute, void* into) noexcept {
  auto* const parts = static_cast<LinkParts*>(into);
  if (const auto mtu_bytes = number_in(attribute, IFLA_MTU)) {
    parts->answer->mtu_bytes = *mtu_bytes;
  } else if (::mnl_attr_get_type(attribute) == IFLA_LINKINFO) {
    return ::mnl_attr_parse_nested(attribute, take_info, parts);
  }
  return MNL_CB_OK;
}

int on_link(const nlmsghdr* message, void* into) noexcept {
  if (::mnl_nlmsg_get_payload_len(message) < sizeof(ifinfomsg)) {
    return MNL_CB_OK;
  }
  const auto* const link = static_cast<const ifinfomsg*>(::mnl_nlmsg_get_payload(message));
  auto* const answer = static_cast<LinkAnswer*>(into);
  answer->index = static_cast<std::uint32_t>(link->ifi_index);
  answer->up = (link->ifi_flags & IFF_UP) != 0;
  LinkParts parts{.answer = answer};
  if (::mnl_attr_parse(message, sizeof(ifinfomsg), take_link_attribute, &parts) != MNL_CB_OK) {
    return MNL_CB_ERROR;
  }
  return parts.is_tun && parts.data != nullptr
             ? ::mnl_attr_parse_nested(parts.data, take_tun_attribute, answer)
             : MNL_CB_OK;
}

Result<LinkAnswer> ask_by_name(mnl_socket* socket, const char* name,
                               std::optional<std::int32_t> number) noexcept {
  alignas(nlmsghdr) Buffer buffer;  // NOLINT: filled below
  nlmsghdr* const request = begin(buffer, RTM_GETLINK);
  auto* const link =
      static_cast<ifinfomsg*>(::mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
  link->ifi_family = AF_UNSPEC;
  ::mnl_attr_put_strz(request, IFLA_IFNAME, name);
  if (number) {
    ::mnl_attr_put_u32(request, IFLA_TARGET_NETNSID, static_cast<std::uint32_t>(*number));
  }
  LinkAnswer answer;
  const int error = exchange(socket, buffer, on_link, &answer);
  if (error != 0) {
    return fail(error == EPERM || error == EACCES ? EXDEV : error,
                "netlink: the interface cannot be asked for its state");
  }
  return answer;
}

Result<NetlinkSocket> open_socket() noexcept {
  NetlinkSocket socket = open_route_netlink();
  if (socket == nullptr) {
    return fail(errno, "socket(NETLINK_ROUTE): to ask for the interface");
  }
  return socket;
}

Fd namespace_of_tun(int tun_fd) noexcept { return Fd{::ioctl(tun_fd, TUNGETDEVNETNS)}; }

bool is_ours(int namespace_fd, int socket_fd) noexcept {
  const Fd own{::ioctl(socket_fd, SIOCGSKNS)};
  return !own || same_file(own.get(), namespace_fd);
}

}  // namespace

Result<LinkAnswer> ask_link_here(const char* name) noexcept {
  const Result<NetlinkSocket> socket = open_socket();
  return socket ? ask_by_name(socket->get(), name, std::nullopt)
                : Result<LinkAnswer>{std::unexpected(socket.error())};
}

Result<LinkAnswer> ask_link(int tun_fd, const char* name) noexcept {
  const Fd there = namespace_of_tun(tun_fd);
  if (!there && errno == EBADFD) {
    return fail(ENODEV, "ioctl(TUNGETDEVNETNS): the interface is gone");
  }
  const Result<NetlinkSocket> socket = open_socket();
  if (!socket) {
    return std::unexpected(socket.error());
  }
  if (!there || is_ours(there.get(), ::mnl_socket_get_fd(socket->get()))) {
    return ask_by_name(socket->get(), name, std::nullopt);
  }
  const Result<std::int32_t> number = number_of(socket->get(), there.get());
  if (!number) {
    return std::unexpected(number.error());
  }
  return ask_by_name(socket->get(), name, *number);
}

bool is_at_home(int tun_fd) noexcept {
  const Fd there = namespace_of_tun(tun_fd);
  if (!there) {
    return errno == EINVAL || errno == ENOTTY;
  }
  const Fd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  return socket && is_ours(there.get(), socket.get());
}

}  // namespace wgring::tun
