#include "tun/udp_socket.hpp"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "base/assert.hpp"

namespace wgring::tun {
namespace {

constexpr int pair_tries_max = 100;

bool set_int(int fd, int level, int option, int value) noexcept {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// The kernel's own limit applies when the privileged option is refused: less is not an error.
void set_buffer(int fd, int forced, int plain, int bytes) noexcept {
  if (!set_int(fd, SOL_SOCKET, forced, bytes)) {
    static_cast<void>(set_int(fd, SOL_SOCKET, plain, bytes));
  }
}

Status set_options_v4(int fd) noexcept {
  if (!set_int(fd, IPPROTO_IP, IP_PKTINFO, 1)) {
    return fail(errno, "setsockopt(IP_PKTINFO)");
  }
  if (!set_int(fd, IPPROTO_IP, IP_RECVTOS, 1)) {
    return fail(errno, "setsockopt(IP_RECVTOS)");
  }
  if (!set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)) {
    return fail(errno, "setsockopt(IP_MTU_DISCOVER)");
  }
  return {};
}

Status set_options_v6(int fd) noexcept {
  if (!set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) {
    return fail(errno, "setsockopt(IPV6_V6ONLY)");
  }
  if (!set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)) {
    return fail(errno, "setsockopt(IPV6_RECVPKTINFO)");
  }
  if (!set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1)) {
    return fail(errno, "setsockopt(IPV6_RECVTCLASS)");
  }
  if (!set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT)) {
    return fail(errno, "setsockopt(IPV6_MTU_DISCOVER)");
  }
  // As the kernel's module; before 3.17 there are no automatic labels.
  static_cast<void>(set_int(fd, IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 0));
  return {};
}

Status set_mark(int fd, std::uint32_t fwmark) noexcept {
  if (::setsockopt(fd, SOL_SOCKET, SO_MARK, &fwmark, sizeof fwmark) != 0) {
    return fail(errno, errno == EPERM ? "setsockopt(SO_MARK): needs root or CAP_NET_ADMIN"
                                      : "setsockopt(SO_MARK)");
  }
  return {};
}

Status bind_any(int fd, int family, std::uint16_t port) noexcept {
  sockaddr_in6 v6{};
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  const auto* const at = family == AF_INET ? reinterpret_cast<const sockaddr*>(&v4)
                                           : reinterpret_cast<const sockaddr*>(&v6);
  const auto bytes = static_cast<socklen_t>(family == AF_INET ? sizeof v4 : sizeof v6);
  if (::bind(fd, at, bytes) == 0) {
    return {};
  }
  switch (errno) {
    case EADDRINUSE:
      return fail(errno, "bind: the UDP port is in use by another socket");
    case EACCES:
      return fail(errno, "bind: a port below 1024 needs root or CAP_NET_BIND_SERVICE");
    default:
      return fail(errno, "bind: UDP port");
  }
}

Result<std::uint16_t> port_of(int fd) noexcept {
  sockaddr_storage at{};
  socklen_t bytes = sizeof at;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &bytes) != 0) {
    return fail(errno, "getsockname");
  }
  return ntohs(at.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in*>(&at)->sin_port
                                       : reinterpret_cast<const sockaddr_in6*>(&at)->sin6_port);
}

Status set_shared(int fd) noexcept {
  if (!set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1)) {
    return fail(errno, "setsockopt(SO_REUSEPORT)");
  }
  return {};
}

}  // namespace

Result<Fd> UdpPair::open_socket(int family, std::uint16_t port, std::uint32_t fwmark,
                                const Receive& receive, Bind bind) noexcept {
  Fd fd{::socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP)};
  if (!fd) {
    return fail(errno,
                family == AF_INET ? "socket(AF_INET, SOCK_DGRAM)" : "socket(AF_INET6, SOCK_DGRAM)");
  }
  Status status = family == AF_INET ? set_options_v4(fd.get()) : set_options_v6(fd.get());
  if (status && fwmark != 0) {
    status = set_mark(fd.get(), fwmark);
  }
  if (!status) {
    return std::unexpected(status.error());
  }
  set_buffer(fd.get(), SO_RCVBUFFORCE, SO_RCVBUF, receive.buffer_bytes);
  set_buffer(fd.get(), SO_SNDBUFFORCE, SO_SNDBUF, usual_buffer_bytes);
  // Datagrams lost for want of buffer are shown by the kernel with the next one that arrives.
  static_cast<void>(set_int(fd.get(), SOL_SOCKET, SO_RXQ_OVFL, 1));
  if (receive.runs == ReceiveRuns::on) {
    static_cast<void>(set_int(fd.get(), IPPROTO_UDP, UDP_GRO, 1));
  }
  status = bind == Bind::shared ? set_shared(fd.get()) : Status{};
  if (status) {
    status = bind_any(fd.get(), family, port);
  }
  if (!status) {
    return std::unexpected(status.error());
  }
  return fd;
}

Result<UdpPair> UdpPair::open_once(std::uint16_t port, std::uint32_t fwmark, const Receive& receive,
                                   Bind bind) noexcept {
  UdpPair pair;
  Result<Fd> v4 = open_socket(AF_INET, port, fwmark, receive, bind);
  if (v4) {
    pair.v4_ = std::move(*v4);
    const Result<std::uint16_t> bound = port_of(pair.v4_.get());
    if (!bound) {
      return std::unexpected(bound.error());
    }
    port = *bound;
  } else if (v4.error().errno_value != EAFNOSUPPORT) {
    return std::unexpected(v4.error());
  }
  Result<Fd> v6 = open_socket(AF_INET6, port, fwmark, receive, bind);
  if (v6) {
    pair.v6_ = std::move(*v6);
    const Result<std::uint16_t> bound = port_of(pair.v6_.get());
    if (!bound) {
      return std::unexpected(bound.error());
    }
    port = *bound;
  } else if (v6.error().errno_value != EAFNOSUPPORT || !pair.v4_) {
    return std::unexpected(v6.error());
  }
  pair.port_ = port;
  pair.fwmark_ = fwmark;
  return pair;
}

Result<UdpPair> UdpPair::open(std::uint16_t port, std::uint32_t fwmark, ReceiveRuns runs) noexcept {
  const Receive receive{.runs = runs};
  Result<UdpPair> pair = open_once(port, fwmark, receive, Bind::alone);
  // A port that was free in v4 may be taken in v6: another one may be free in both.
  for (int tries = 1; port == 0 && tries < pair_tries_max; ++tries) {
    if (pair || pair.error().errno_value != EADDRINUSE) {
      break;
    }
    pair = open_once(port, fwmark, receive, Bind::alone);
  }
  return pair;
}

Result<UdpPair> UdpPair::join(const UdpPair& first, std::uint32_t fwmark, ReceiveRuns runs,
                              int buffer_bytes) noexcept {
  return open_once(first.port(), fwmark, {.runs = runs, .buffer_bytes = buffer_bytes},
                   Bind::shared);
}

Status UdpPair::share() noexcept {
  for (const Fd* const fd : {&v4_, &v6_}) {
    const Status status = *fd ? set_shared(fd->get()) : Status{};
    if (!status) {
      return status;
    }
  }
  return {};
}

Status UdpPair::set_fwmark(std::uint32_t fwmark) noexcept {
  if (v4_) {
    if (Status status = set_mark(v4_.get(), fwmark); !status) {
      return status;
    }
  }
  if (v6_) {
    if (Status status = set_mark(v6_.get(), fwmark); !status) {
      if (v4_) {
        // What was allowed a moment ago is set back.
        const Status undone = set_mark(v4_.get(), fwmark_);
        half_marked_ = !undone;
        return undone ? status : fail(status.error().errno_value, "setsockopt(SO_MARK): half done");
      }
      return status;
    }
  }
  fwmark_ = fwmark;
  half_marked_ = false;
  return {};
}

}  // namespace wgring::tun
