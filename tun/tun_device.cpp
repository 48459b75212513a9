#include "tun/tun_device.hpp"

#include <algorithm>
#include <climits>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "noise/constants.hpp"
#include "noise/vnet_header.hpp"
#include "tun/link_manners.hpp"
#include "tun/link_question.hpp"

namespace wgring::tun {
namespace {

// POSIX has two forms of this header's flags; the kernel's are the ones of if_tun.h.
constexpr short tun_flags = IFF_TUN | IFF_NO_PI;

ifreq named(std::string_view name) noexcept {
  ifreq question{};
  std::copy_n(name.begin(), std::min(name.size(), sizeof question.ifr_name - 1),
              static_cast<char*>(question.ifr_name));
  return question;
}

Result<Fd> open_clone_device() noexcept {
  Fd fd{::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK)};
  if (fd) {
    return fd;
  }
  switch (errno) {
    case ENOENT:
      return fail(errno,
                  "open /dev/net/tun: missing; load the module 'tun' or, in a container, pass "
                  "the device in");
    case ENODEV:
    case ENXIO:
      return fail(errno, "open /dev/net/tun: this kernel has no TUN; load the module 'tun'");
    case EACCES:
    case EPERM:
      return fail(errno, "open /dev/net/tun: not allowed; be root, or allow the device");
    default:
      return fail(errno, "open /dev/net/tun");
  }
}

Status attach(int fd, ifreq& request) noexcept {
  if (::ioctl(fd, TUNSETIFF, &request) == 0) {
    return {};
  }
  switch (errno) {
    case EPERM:
      return fail(errno, "ioctl(TUNSETIFF): needs root or CAP_NET_ADMIN in this namespace");
    case EBUSY:
      return fail(errno, "ioctl(TUNSETIFF): an interface of this name is in use");
    case EINVAL:
      return fail(errno,
                  "ioctl(TUNSETIFF): the name is not valid, or another kind of interface "
                  "has it (with several queues or without)");
    default:
      return fail(errno, "ioctl(TUNSETIFF)");
  }
}

}  // namespace

Result<TunDevice> TunDevice::create(std::string_view name, Offloads& offloads,
                                    std::uint32_t queues) noexcept {
  WG_ASSERT(queues >= 1 && queues <= queues_max);
  if (name.empty() || name.size() >= IFNAMSIZ) {
    return fail(EINVAL, "an interface name has 1 to 15 bytes");
  }
  Result<Fd> fd = open_clone_device();
  if (!fd) {
    return std::unexpected(fd.error());
  }
  ifreq request = named(name);
  const Result<LinkAnswer> former = ask_link_here(static_cast<const char*>(request.ifr_name));
  const bool existed = former.has_value();
  // With several queues TUNSETIFF would join those of a running owner, and share its packets.
  if (existed && former->tun_queues.value_or(0) > 0) {
    return fail(EBUSY, "an interface of this name is in use");
  }
  const bool any = offloads.has(Offload::tun_tso) || offloads.has(Offload::tun_uso) ||
                   offloads.has(Offload::tun_tcp_join) || offloads.has(Offload::tun_udp_join);
  request.ifr_flags =
      static_cast<short>(tun_flags | (any ? IFF_VNET_HDR : 0) | (queues > 1 ? IFF_MULTI_QUEUE : 0));
  if (const Status status = attach(fd->get(), request); !status) {
    return std::unexpected(status.error());
  }
  TunDevice device;
  device.fd_ = std::move(*fd);
  device.vnet_ = any ? VnetMode::on : VnetMode::off;
  Status status = device.add_queues(request, queues);
  if (status) {
    status = device.finish(offloads);
  }
  if (status && !existed) {
    status = device.set_mtu(noise::mtu_default);
    device.set_queue_length(queue_length);
    teach_link_manners(device.name_.data());
  }
  if (!status) {
    return std::unexpected(status.error());
  }
  return device;
}

// `request` is the one that made the first.
Status TunDevice::add_queues(ifreq& request, std::uint32_t queues) noexcept {
  for (std::uint32_t i = 1; i < queues; ++i) {
    Result<Fd> fd = open_clone_device();
    if (!fd) {
      return std::unexpected(fd.error());
    }
    if (const Status status = attach(fd->get(), request); !status) {
      return status;
    }
    more_queues_[i - 1] = std::move(*fd);
  }
  return {};
}

Result<TunDevice> TunDevice::adopt(Fd fd, Offloads& offloads) noexcept {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0) {
    return fail(errno, "fcntl(F_GETFL): the TUN descriptor is not open");
  }
  ifreq answer{};
  if (::ioctl(fd.get(), TUNGETIFF, &answer) != 0) {
    return fail(errno, errno == EBADFD ? "ioctl(TUNGETIFF): the descriptor has no interface yet"
                                       : "ioctl(TUNGETIFF): the descriptor is not a TUN");
  }
  if ((answer.ifr_flags & tun_flags) != tun_flags || (answer.ifr_flags & IFF_TAP) != 0) {
    return fail(EINVAL, "the TUN descriptor must be IFF_TUN | IFF_NO_PI");
  }
  if (::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0 ||
      ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return fail(errno, "fcntl: the TUN descriptor cannot be made non-blocking");
  }
  TunDevice device;
  device.fd_ = std::move(fd);
  device.vnet_ = (answer.ifr_flags & IFF_VNET_HDR) != 0 ? VnetMode::on : VnetMode::off;
  if (const Status status = device.finish(offloads); !status) {
    return std::unexpected(status.error());
  }
  return device;
}

// TUNSETOFFLOAD takes all or nothing, so what is newest is asked for first and left out next.
Status TunDevice::set_offloads(Offloads& offloads) noexcept {
  if (vnet_ == VnetMode::off) {
    offloads.turn_off_tun("the TUN has no IFF_VNET_HDR");
    // They belong to the device, which may be older than this descriptor: without a header what
    // they give could not be told from whole packets.
    static_cast<void>(::ioctl(fd_.get(), TUNSETOFFLOAD, 0UL));
    return {};
  }
  int header_bytes = noise::VnetHeader::size;
  if (::ioctl(fd_.get(), TUNSETVNETHDRSZ, &header_bytes) != 0) {
    return fail(errno, "ioctl(TUNSETVNETHDRSZ)");
  }
  constexpr unsigned long udp = 0x20 | 0x40;  // TUN_F_USO4, TUN_F_USO6: since 6.2
  const unsigned long tcp =
      offloads.has(Offload::tun_tso) ? TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN : 0;
  if (offloads.has(Offload::tun_uso) &&
      ::ioctl(fd_.get(), TUNSETOFFLOAD, TUN_F_CSUM | tcp | udp) == 0) {
    return {};
  }
  offloads.turn_off(Offload::tun_uso, "the kernel's TUN has no USO (before 6.2)");
  if (::ioctl(fd_.get(), TUNSETOFFLOAD, tcp == 0 ? 0UL : TUN_F_CSUM | tcp) != 0) {
    offloads.turn_off(Offload::tun_tso, "ioctl(TUNSETOFFLOAD) was refused");
    static_cast<void>(::ioctl(fd_.get(), TUNSETOFFLOAD, 0UL));
  }
  return {};
}

Status TunDevice::finish(Offloads& offloads) noexcept {
  // A write must never wait: packets for the interface would overtake each other.
  for (std::uint32_t i = 0; i < queues_max && queue(i) >= 0; ++i) {
    int unlimited = INT_MAX;
    if (::ioctl(queue(i), TUNSETSNDBUF, &unlimited) != 0) {
      return fail(errno, "ioctl(TUNSETSNDBUF)");
    }
  }
  if (Status status = set_offloads(offloads); !status) {
    return status;
  }
  return refresh_name();
}

Status TunDevice::refresh_name() noexcept {
  ifreq answer{};
  if (::ioctl(fd_.get(), TUNGETIFF, &answer) != 0) {
    return errno == EBADFD ? fail(ENODEV, "ioctl(TUNGETIFF): the interface is gone")
                           : fail(errno, "ioctl(TUNGETIFF)");
  }
  static_assert(sizeof answer.ifr_name == IFNAMSIZ);
  std::copy_n(static_cast<const char*>(answer.ifr_name), IFNAMSIZ, name_.data());
  name_.back() = '\0';
  return {};
}

// In our own namespace, where a new interface is.
Status TunDevice::link_request(unsigned long request, ifreq& question) const noexcept {
  Fd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!socket) {
    socket = Fd{::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)};  // link requests go to any
  }
  if (!socket) {
    return fail(errno, "socket: for link requests");
  }
  if (::ioctl(socket.get(), request, &question) != 0) {
    return fail(errno, errno == EPERM ? "link ioctl: needs root or CAP_NET_ADMIN"
                                      : "link ioctl: the interface refused the request");
  }
  return {};
}

Result<std::uint32_t> TunDevice::mtu() const noexcept {
  const Result<LinkAnswer> link = ask_link(fd_.get(), name_.data());
  if (!link) {
    return std::unexpected(link.error());
  }
  return link->mtu_bytes;
}

Status TunDevice::set_mtu(std::uint32_t mtu_bytes) noexcept {
  if (mtu_bytes > INT_MAX) {
    return fail(EINVAL, "the MTU is out of range");
  }
  ifreq question = named(name());
  question.ifr_mtu = static_cast<int>(mtu_bytes);
  return link_request(SIOCSIFMTU, question);
}

// A shorter queue drops more; it is not worth an end.
void TunDevice::set_queue_length(int packets) noexcept {
  ifreq question = named(name());
  question.ifr_qlen = packets;
  [[maybe_unused]] const Status tried = link_request(SIOCSIFTXQLEN, question);
}

Result<std::uint32_t> TunDevice::interface_index() const noexcept {
  const Result<LinkAnswer> link = ask_link(fd_.get(), name_.data());
  if (!link) {
    return std::unexpected(link.error());
  }
  return link->index;
}

bool TunDevice::is_at_home() const noexcept { return tun::is_at_home(fd_.get()); }

Result<TunState> TunDevice::state() const noexcept {
  ifreq answer{};
  if (::ioctl(fd_.get(), TUNGETIFF, &answer) != 0) {
    if (errno == EBADFD) {
      return TunState::gone;
    }
    return fail(errno, "ioctl(TUNGETIFF)");
  }
  // The name of this very moment: the interface may have been renamed.
  if (const Result<LinkAnswer> link =
          ask_link(fd_.get(), static_cast<const char*>(answer.ifr_name))) {
    return link->up ? TunState::up : TunState::down;
  }
  // In a namespace that cannot be asked: a TUN is writable just while its link is up.
  pollfd writable{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
  static_cast<void>(::poll(&writable, 1, 0));
  if ((writable.revents & POLLERR) != 0) {
    return TunState::gone;
  }
  return (writable.revents & POLLOUT) != 0 ? TunState::up : TunState::down;
}

}  // namespace wgring::tun
