#include "tun/offload/probe.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.hpp"
#include "base/checksum.hpp"
#include "noise/vnet_header.hpp"
#include "tun/fd.hpp"
#include "tun/message.hpp"

namespace wgring::tun {
namespace {

using noise::VnetHeader;

// --- UDP ---

constexpr std::size_t segment_bytes = 200;
constexpr std::size_t segments = 4;
using Train = ByteArray<segment_bytes * segments>;

enum class Trial : std::uint8_t { passed, refused, ignored, damaged, impossible };

struct Receiver {
  Fd fd;
  sockaddr_in at{};
};

bool set_on(int fd, int option) noexcept {
  const int one = 1;
  return ::setsockopt(fd, IPPROTO_UDP, option, &one, sizeof one) == 0;
}

bool open_receiver(Receiver& receiver) noexcept {
  receiver.fd = Fd{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP)};
  receiver.at.sin_family = AF_INET;
  receiver.at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof receiver.at;
  return receiver.fd &&
         ::bind(receiver.fd.get(), reinterpret_cast<const sockaddr*>(&receiver.at), bytes) == 0 &&
         ::getsockname(receiver.fd.get(), reinterpret_cast<sockaddr*>(&receiver.at), &bytes) == 0;
}

// 0 or an errno.
int send_train(Train& train, sockaddr_in to) noexcept {
  const Fd fd{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP)};
  if (!fd) {
    return EPERM;  // nothing can be said about trains
  }
  noise::Endpoint loopback;
  loopback.remote.ip.family = noise::Family::v4;
  SendControl control;
  build_control(loopback, 0, segment_bytes, control);
  iovec payload{.iov_base = train.data(), .iov_len = train.size()};
  msghdr message{};
  message.msg_name = &to;
  message.msg_namelen = sizeof to;
  message.msg_iov = &payload;
  message.msg_iovlen = 1;
  message.msg_control = control.data.data();
  message.msg_controllen = control.bytes;
  return ::sendmsg(fd.get(), &message, MSG_NOSIGNAL) < 0 ? errno : 0;
}

// Every datagram in turn, each of segment_bytes or a whole multiple where the kernel joined them.
Trial compare(int fd, const Train& sent, bool joined) noexcept {
  ByteArray<sizeof(Train) + segment_bytes> got{};
  std::size_t seen = 0;
  while (seen < sent.size()) {
    pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
    constexpr int patience_ms = 200;
    if (::poll(&waiting, 1, patience_ms) != 1) {
      return seen == 0 ? Trial::impossible : Trial::damaged;
    }
    const ssize_t bytes = ::recv(fd, got.data(), got.size(), 0);
    const auto size = static_cast<std::size_t>(std::max<ssize_t>(bytes, 0));
    if (bytes <= 0 || size > sent.size() - seen ||
        !equal_public(Bytes{got}.first(size), Bytes{sent}.subspan(seen, size))) {
      return Trial::damaged;
    }
    if (!joined && size != segment_bytes) {
      return Trial::ignored;
    }
    seen += size;
  }
  return Trial::passed;
}

Trial try_train(bool joined) noexcept {
  Receiver receiver;
  if (!open_receiver(receiver)) {
    return Trial::impossible;
  }
  if (joined && !set_on(receiver.fd.get(), UDP_GRO)) {
    return Trial::refused;
  }
  Train train{};
  for (std::size_t i = 0; i < train.size(); ++i) {
    train[i] = static_cast<std::uint8_t>(i * 7 + i / segment_bytes);
  }
  switch (send_train(train, receiver.at)) {
    case 0:
      return compare(receiver.fd.get(), train, joined);
    case ENETUNREACH:
    case ENETDOWN:
    case EPERM:
      return Trial::impossible;
    default:
      return Trial::refused;
  }
}

// A socket that takes the option at all: kernels before 4.18 ignore the control message.
bool knows(int option) noexcept {
  const Fd fd{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP)};
  return fd && set_on(fd.get(), option);
}

void judge(Trial trial, Offload offload, Offloads& offloads) noexcept {
  switch (trial) {
    case Trial::passed:
    case Trial::impossible:
      return;
    case Trial::refused:
      return offloads.turn_off(offload, "the kernel refused a train");
    case Trial::ignored:
      return offloads.turn_off(offload, "the kernel did not cut a train");
    case Trial::damaged:
      return offloads.turn_off(offload, "the kernel damaged a train");
  }
}

// --- TUN ---

constexpr std::size_t payload_bytes = 200;

// Two segments from and to 127.0.0.1, which no interface but loopback may carry.
std::span<std::uint8_t> super_packet(MutableBytes out, bool tcp) noexcept {
  const std::size_t transport_bytes = tcp ? 20 : 8;
  const std::size_t bytes = 20 + transport_bytes + 2 * payload_bytes;
  const MutableBytes packet = out.subspan(VnetHeader::size, bytes);
  fill_zero(packet);
  packet[0] = 0x45;
  store_be16(packet.data() + 2, static_cast<std::uint16_t>(bytes));
  packet[6] = 0x40;
  packet[8] = 64;
  packet[9] = tcp ? 6 : 17;
  packet[12] = packet[16] = 127;
  packet[15] = packet[19] = 1;
  InternetSum().add(packet.first(20)).store(packet.data() + 10);
  const MutableBytes transport = packet.subspan(20);
  const auto length = static_cast<std::uint16_t>(transport.size());
  if (tcp) {
    transport[12] = 0x50;
    transport[13] = 0x10;
  } else {
    store_be16(transport.data() + 4, length);
  }
  const std::uint16_t checksum_offset = tcp ? 16 : 6;
  InternetSum()
      .add(Bytes{packet}.subspan(12, 8))
      .add_be16(packet[9])
      .add_be16(length)
      .store_partial(transport.data() + checksum_offset);
  const VnetHeader header{.flags = VnetHeader::needs_checksum,
                          .gso_type = tcp ? VnetHeader::gso_tcp4 : VnetHeader::gso_udp_l4,
                          .header_bytes = static_cast<std::uint16_t>(20 + transport_bytes),
                          .segment_bytes = payload_bytes,
                          .checksum_start = 20,
                          .checksum_offset = checksum_offset};
  header.store(out.data());
  return out.first(VnetHeader::size + bytes);
}

void try_write(int tun_fd, Offload offload, Offloads& offloads) noexcept {
  if (!offloads.has(offload)) {
    return;
  }
  ByteArray<VnetHeader::size + 40 + 2 * payload_bytes> memory{};
  const auto packet = super_packet(memory, offload == Offload::tun_tcp_join);
  if (::write(tun_fd, packet.data(), packet.size()) < 0 && errno == EINVAL) {
    offloads.turn_off(offload, "the kernel refused a super-packet");
  }
}

}  // namespace

void probe_udp(Offloads& offloads) noexcept {
  if (!knows(UDP_SEGMENT)) {
    offloads.turn_off(Offload::udp_gso, "the kernel has no UDP_SEGMENT (before 4.18)");
  }
  if (!knows(UDP_GRO)) {
    offloads.turn_off(Offload::udp_gro, "the kernel has no UDP_GRO (before 5.0)");
  }
  if (!offloads.has(Offload::udp_gso)) {
    return;  // nothing to make a train with
  }
  judge(try_train(false), Offload::udp_gso, offloads);
  if (offloads.has(Offload::udp_gro) && offloads.has(Offload::udp_gso)) {
    judge(try_train(true), Offload::udp_gro, offloads);
  }
}

void probe_tun_writes(int tun_fd, Offloads& offloads) noexcept {
  try_write(tun_fd, Offload::tun_tcp_join, offloads);
  try_write(tun_fd, Offload::tun_udp_join, offloads);
}

}  // namespace wgring::tun
