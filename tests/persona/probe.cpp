// Tries what the personas are about and prints one line for each try: its name, then "ok" or the
// name of the error ("without_a_name" for ENOTSUPP, which leaks out of old kernels). Needs no
// right: where a try has no object, it names one that is not there, and EBADF says that the kernel
// was reached.
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

constexpr unsigned tun_set_offload_uso4 = 0x20;
constexpr unsigned tun_set_offload_uso6 = 0x40;
constexpr unsigned tun_get_devnetns = _IO('T', 227);

void show(const char* name, const char* word) { std::printf("%s %s\n", name, word); }

const char* word_of(long result) {
  if (result >= 0) {
    return "ok";
  }
  const char* const name = ::strerrorname_np(errno);
  return name != nullptr ? name : "without_a_name";
}

// Only whether the call exists: each is made with arguments that no kernel takes.
void show_call(const char* name, long result) {
  show(name, result < 0 && errno == ENOSYS ? "ENOSYS" : "there");
}

void try_uring() {
  io_uring_params parameters{};
  const long ring = ::syscall(SYS_io_uring_setup, 4, &parameters);
  show("uring_setup", word_of(ring));
  std::array<char, sizeof(io_uring_probe) + 64 * sizeof(io_uring_probe_op)> answer{};
  show("uring_probe",
       word_of(::syscall(SYS_io_uring_register, ring, IORING_REGISTER_PROBE, answer.data(), 64)));
  const int event = ::eventfd(0, 0);
  show("uring_eventfd",
       word_of(::syscall(SYS_io_uring_register, ring, IORING_REGISTER_EVENTFD, &event, 1)));
  alignas(4096) static std::array<io_uring_buf, 4> slots{};
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uintptr_t>(slots.data());
  registration.ring_entries = slots.size();
  show("uring_pbuf_ring", word_of(::syscall(SYS_io_uring_register, ring, IORING_REGISTER_PBUF_RING,
                                            &registration, 1)));
  show("uring_enter", word_of(::syscall(SYS_io_uring_enter, ring, 0, 0, 0, nullptr, 0)));
  io_uring_getevents_arg argument{};
  show("uring_enter_ext", word_of(::syscall(SYS_io_uring_enter, ring, 0, 0, IORING_ENTER_EXT_ARG,
                                            &argument, sizeof argument)));
}

void try_option(int socket, int level, int option, const char* set_name, const char* get_name) {
  int value = 0;
  socklen_t bytes = sizeof value;
  show(set_name, word_of(::setsockopt(socket, level, option, &value, bytes)));
  show(get_name, word_of(::getsockopt(socket, level, option, &value, &bytes)));
}

void try_socket_options() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
  try_option(socket, SOL_UDP, UDP_SEGMENT, "set_udp_segment", "get_udp_segment");
  try_option(socket, SOL_UDP, UDP_GRO, "set_udp_gro", "get_udp_gro");
  try_option(socket, SOL_UDP, UDP_NO_CHECK6_TX, "set_udp_no_check6", "get_udp_no_check6");
  try_option(socket, SOL_SOCKET, SO_RXQ_OVFL, "set_rxq_ovfl", "get_rxq_ovfl");
  try_option(socket, SOL_SOCKET, SO_ZEROCOPY, "set_zerocopy", "get_zerocopy");
  try_option(socket, SOL_SOCKET, SO_BINDTOIFINDEX, "set_bindtoifindex", "get_bindtoifindex");
  try_option(socket, SOL_SOCKET, SO_PREFER_BUSY_POLL, "set_prefer_busy", "get_prefer_busy");
  ::close(socket);
}

void try_tun_requests() {
  const auto try_request = [](const char* name, unsigned long request, unsigned long value) {
    show(name, word_of(::ioctl(-1, request, value)));
  };
  const unsigned tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  try_request("offload_none", TUNSETOFFLOAD, 0);
  try_request("offload_tso", TUNSETOFFLOAD, tso | TUN_F_TSO_ECN | TUN_F_UFO);
  try_request("offload_uso4", TUNSETOFFLOAD, tso | tun_set_offload_uso4);
  try_request("offload_uso6", TUNSETOFFLOAD, tso | tun_set_offload_uso6);
  try_request("offload_uso", TUNSETOFFLOAD, tso | tun_set_offload_uso4 | tun_set_offload_uso6);
  try_request("tun_carrier", TUNSETCARRIER, 0);
  try_request("tun_devnetns", tun_get_devnetns, 0);
  try_request("tun_steering", TUNSETSTEERINGEBPF, 0);
  try_request("tun_getiff", TUNGETIFF, 0);
}

void try_calls() {
  constexpr unsigned page = 4096;
  show_call("rseq", ::syscall(SYS_rseq, nullptr, 0, page, 0));
  show_call("pidfd_open", ::syscall(SYS_pidfd_open, -1, 0));
  show_call("clone3", ::syscall(SYS_clone3, nullptr, 0));
  show_call("close_range", ::syscall(SYS_close_range, 2, 1, 0));
  show_call("openat2", ::syscall(SYS_openat2, -1, nullptr, nullptr, 0));
  show_call("faccessat2", ::syscall(SYS_faccessat2, -1, "-", 0, page));
  show_call("epoll_pwait2", ::syscall(SYS_epoll_pwait2, -1, nullptr, 0, nullptr, nullptr, 0));
  show_call("futex_waitv", ::syscall(SYS_futex_waitv, nullptr, 0, 0, nullptr, 0));
  show_call("landlock", ::syscall(SYS_landlock_create_ruleset, page, 0, page));
  show("bpf", word_of(::syscall(SYS_bpf, 0, nullptr, page + 1)));  // the size is looked at first
  show_call("statx", ::syscall(SYS_statx, -1, "-", 0, 0, nullptr));
  show_call("recvmmsg", ::syscall(SYS_recvmmsg, -1, nullptr, 0, 0, nullptr));
  const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  show("write_empty", word_of(::write(null, "", 0)));
  ::close(null);
}

// A TUN without an interface: EBADFD says that the packet came as far as the driver.
void try_tun_writes() {
  constexpr unsigned char tcp4 = 1;
  constexpr unsigned char ecn = 0x80;
  std::array<unsigned char, 10> header{};
  std::array<unsigned char, 40> packet{0x45, 0x10};
  std::array<iovec, 2> pieces{iovec{header.data(), header.size()},
                              iovec{packet.data(), packet.size()}};
  std::array<iovec, 3> cut{iovec{header.data(), 1}, iovec{header.data() + 1, header.size() - 1},
                           iovec{packet.data(), packet.size()}};
  const int tun = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  show("tun_open", word_of(tun));
  show("tun_writev_plain", word_of(::writev(tun, pieces.data(), 2)));
  header[1] = ecn;
  show("tun_writev_ecn", word_of(::writev(tun, pieces.data(), 2)));
  header[1] = tcp4;
  show("tun_writev_gso", word_of(::writev(tun, pieces.data(), 2)));
  show("tun_writev_cut", word_of(::writev(tun, cut.data(), 3)));
  show("tun_write_header", word_of(::write(tun, header.data(), header.size())));
  std::array<unsigned char, 50> whole{};
  show("tun_write_plain", word_of(::write(tun, whole.data(), whole.size())));
  whole[1] = tcp4 | ecn;
  show("tun_write_whole", word_of(::write(tun, whole.data(), whole.size())));
  for (int i = 0; i < 8; ++i) {
    static_cast<void>(::writev(tun, pieces.data(), 2));
  }
  show("tun_writev_late", word_of(::writev(tun, pieces.data(), 2)));
  show("null_writev_gso", word_of(::writev(null, pieces.data(), 2)));
  ::close(tun);
  ::close(null);
}

// virtio_net_hdr; the kernel's own header is not C++.
struct VnetHeader {
  std::uint8_t flags = 1;     // the checksum is to be finished
  std::uint8_t gso_type = 1;  // TCP in IPv4
  std::uint16_t header_bytes = 40;
  std::uint16_t segment_bytes = 8;
  std::uint16_t checksum_start = 20;
  std::uint16_t checksum_offset = 16;
};

// Two segments of TCP, which the kernel takes as such.
std::array<unsigned char, 56> two_segments() {
  std::array<unsigned char, 56> packet{0x45, 0x10, 0, 56, 0, 0, 0, 0, 64, IPPROTO_TCP};
  packet[12] = packet[16] = 10;
  packet[32] = 5U << 4U;
  return packet;
}

int open_interface(short flags) {
  const int tun = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ifreq request{};
  request.ifr_flags = flags;
  if (::ioctl(tun, TUNSETIFF, &request) != 0) {
    show("tun_interface", word_of(-1));
  }
  return tun;
}

// Interfaces that are down: EIO says that what was written is a packet to the driver.
void try_interfaces() {
  if (::unshare(::geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    show("unshare", word_of(-1));
  }
  VnetHeader header;
  auto packet = two_segments();
  std::array<iovec, 2> pieces{iovec{&header, sizeof header}, iovec{packet.data(), packet.size()}};
  const int with = open_interface(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR);
  show("vnet_down_gso", word_of(::writev(with, pieces.data(), 2)));
  header = {.flags = 0, .gso_type = 0, .header_bytes = 0, .segment_bytes = 0, .checksum_start = 0};
  show("vnet_down_plain", word_of(::writev(with, pieces.data(), 2)));
  // The second byte of an IP packet is no kind of GSO: type of service, flow label.
  const int without = open_interface(IFF_TUN | IFF_NO_PI);
  show("tun_down_tos", word_of(::write(without, packet.data(), packet.size())));
  packet[0] = 0x60;
  packet[1] = 1;
  show("tun_down_flow", word_of(::write(without, packet.data(), packet.size())));
  ::close(with);
  ::close(without);
}

sockaddr_in address(std::uint32_t host, std::uint16_t port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = htons(port);
  made.sin_addr.s_addr = htonl(host);
  return made;
}

// A datagram to one address, as a train of segments of 4 bytes when asked.
struct Datagram {
  template <typename Address>
  Datagram(const Address& to, std::string_view text) {
    std::memcpy(&target, &to, sizeof to);
    text.copy(payload.data(), payload.size());
    piece = {.iov_base = payload.data(), .iov_len = text.size()};
    header.msg_name = &target;
    header.msg_namelen = sizeof to;
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
  }
  Datagram(const Datagram&) = delete;
  Datagram& operator=(const Datagram&) = delete;

  Datagram& as_train() {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* const one = CMSG_FIRSTHDR(&header);
    const std::uint16_t segment_bytes = 4;
    one->cmsg_level = SOL_UDP;
    one->cmsg_type = UDP_SEGMENT;
    one->cmsg_len = CMSG_LEN(sizeof segment_bytes);
    std::memcpy(CMSG_DATA(one), &segment_bytes, sizeof segment_bytes);
    return *this;
  }

  sockaddr_storage target{};
  std::array<char, 64> payload{};
  iovec piece{};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2)> control{};
  msghdr header{};
};

void try_train_v6(const char* name, int socket, const in6_addr& host) {
  sockaddr_in6 target{};
  target.sin6_family = AF_INET6;
  target.sin6_port = htons(9);
  target.sin6_addr = host;
  Datagram train(target, "aaaabbbbcc");
  train.as_train();
  show(name, word_of(::sendmsg(socket, &train.header, 0)));
}

void show_received(const char* name, int socket) {
  std::printf("%s", name);
  std::array<char, 64> text{};
  for (;;) {
    const ssize_t bytes = ::recv(socket, text.data(), text.size(), MSG_DONTWAIT);
    if (bytes < 0) {
      break;
    }
    std::printf(" %.*s", static_cast<int>(bytes), text.data());
  }
  std::printf("\n");
}

void try_sends() {
  const int from = ::socket(AF_INET, SOCK_DGRAM, 0);
  const int to = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in bound = address(INADDR_LOOPBACK, 0);
  socklen_t bytes = sizeof bound;
  if (::bind(to, reinterpret_cast<sockaddr*>(&bound), bytes) != 0 ||
      ::getsockname(to, reinterpret_cast<sockaddr*>(&bound), &bytes) != 0) {
    show("send", word_of(-1));
    return;
  }
  Datagram plain(bound, "plain");
  Datagram train(bound, "aaaabbbbcc");
  train.as_train();
  Datagram away(address(0xc0000201, 9), "aaaabbbbcc");  // 192.0.2.1
  away.as_train();
  show("send_plain", word_of(::sendmsg(from, &plain.header, 0)));
  show("send_train", word_of(::sendmsg(from, &train.header, 0)));
  const bool refused = ::sendmsg(from, &away.header, 0) < 0 && errno == EIO;
  show("send_train_away", refused ? "EIO" : "passed");
  show_received("received", to);

  std::array<mmsghdr, 4> several{mmsghdr{plain.header, 0}, mmsghdr{plain.header, 0},
                                 mmsghdr{train.header, 0}, mmsghdr{plain.header, 0}};
  std::printf("several %d", ::sendmmsg(from, several.data(), 4, 0));
  for (const mmsghdr& one : several) {
    std::printf(" %u", one.msg_len);
  }
  std::printf("\n");
  show_received("several_received", to);
  show("several_train_first", word_of(::sendmmsg(from, several.data() + 2, 2, 0)));
  ::close(from);
  ::close(to);

  const int both = ::socket(AF_INET6, SOCK_DGRAM, 0);
  in6_addr mapped{};
  mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
  mapped.s6_addr[12] = 127;
  mapped.s6_addr[15] = 1;
  try_train_v6("send_train_v6", both, in6addr_loopback);
  try_train_v6("send_train_mapped", both, mapped);
  ::close(both);
}

}  // namespace

// With an argument: in the background, as a daemon does it; the parent ends at once with 7.
int main(int argc, char**) {
  if (argc > 1) {
    const pid_t child = ::fork();
    if (child != 0) {
      ::_exit(child < 0 ? 1 : 7);
    }
    ::setsid();
    ::poll(nullptr, 0, 200);
  }
  try_uring();
  try_socket_options();
  try_tun_requests();
  try_calls();
  try_tun_writes();
  try_sends();
  try_interfaces();
  return 0;
}
