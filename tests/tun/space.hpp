// A network namespace for a test, so that nothing outside is touched; needs root.
#pragma once

#include <cstring>
#include <fstream>
#include <string>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tun/fd.hpp"
#include "tun/tun_device.hpp"

namespace wgring::tun::test {

// A TUN on which every packet stands alone, without virtio_net_hdr.
inline Result<TunDevice> create_plain(std::string_view name) {
  Offloads none;
  none.turn_off_tun("not in this test");
  return TunDevice::create(name, none);
}
inline Result<TunDevice> adopt_plain(Fd fd) {
  Offloads none;
  none.turn_off_tun("not in this test");
  return TunDevice::adopt(std::move(fd), none);
}

// Every case gets a namespace of its own; threads made by the case inherit it.
class SpaceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::geteuid(), 0U) << "these tests make network namespaces: run them as root";
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << "unshare(CLONE_NEWNET): " << std::strerror(errno);
    set_up("lo");
  }

 public:
  static void set_up(const std::string& name, bool up = true) {
    const Fd fd{::socket(AF_INET, SOCK_DGRAM, 0)};
    ifreq request{};
    name.copy(request.ifr_name, sizeof request.ifr_name - 1);
    ASSERT_EQ(::ioctl(fd.get(), SIOCGIFFLAGS, &request), 0) << name;
    request.ifr_flags =
        static_cast<short>(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
    ASSERT_EQ(::ioctl(fd.get(), SIOCSIFFLAGS, &request), 0) << name;
  }
  // /24, without IPv6: the kernel's own packets would come between those of the test.
  static void set_address(const std::string& name, const char* address) {
    std::ofstream{"/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6"} << "1";
    const Fd fd{::socket(AF_INET, SOCK_DGRAM, 0)};
    ifreq request{};
    name.copy(request.ifr_name, sizeof request.ifr_name - 1);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    ::inet_pton(AF_INET, address, &at.sin_addr);
    std::memcpy(&request.ifr_addr, &at, sizeof at);
    ASSERT_EQ(::ioctl(fd.get(), SIOCSIFADDR, &request), 0) << name;
    ::inet_pton(AF_INET, "255.255.255.0", &at.sin_addr);
    std::memcpy(&request.ifr_netmask, &at, sizeof at);
    ASSERT_EQ(::ioctl(fd.get(), SIOCSIFNETMASK, &request), 0) << name;
    set_up(name);
  }
  // `address` with /64. The kernel makes its local route on a work queue of its own: until it is
  // there, what is sent to the address is routed by the prefix and lost.
  static void add_v6(const std::string& name, const std::string& address) {
    run("ip -6 addr add " + address + "/64 dev " + name + " nodad");
    const std::string is_local =
        "ip -6 route show table local dev " + name + " | grep -q " + ("'^local " + address + " '");
    run("for i in $(seq 500); do " + is_local + " && exit 0; sleep 0.01; done; exit 1");
  }
  static void run(const std::string& command) {
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }
};

inline sockaddr_in v4_address(const char* address, std::uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  EXPECT_EQ(::inet_pton(AF_INET, address, &at.sin_addr), 1);
  return at;
}
inline sockaddr_in6 v6_address(const char* address, std::uint16_t port) {
  sockaddr_in6 at{};
  at.sin6_family = AF_INET6;
  at.sin6_port = htons(port);
  EXPECT_EQ(::inet_pton(AF_INET6, address, &at.sin6_addr), 1);
  return at;
}

// What comes next; empty after `timeout_ms` without anything.
inline std::string receive_within(int timeout_ms, int fd) {
  pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
  if (::poll(&ready, 1, timeout_ms) != 1) {
    return {};
  }
  std::string text(66'000, '\0');
  const ssize_t bytes = ::recv(fd, text.data(), text.size(), MSG_DONTWAIT);
  text.resize(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
  return text;
}

// An ordinary socket of the other side.
class Peer {
 public:
  explicit Peer(const char* address, std::uint16_t port = 0) {
    if (std::strchr(address, ':') == nullptr) {
      const sockaddr_in at = v4_address(address, port);
      open(AF_INET, reinterpret_cast<const sockaddr*>(&at), sizeof at);
    } else {
      const sockaddr_in6 at = v6_address(address, port);
      open(AF_INET6, reinterpret_cast<const sockaddr*>(&at), sizeof at);
    }
  }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::uint16_t port() const { return port_; }

  void send(const char* address, std::uint16_t port, const std::string& text) const {
    ssize_t sent = 0;
    if (std::strchr(address, ':') == nullptr) {
      const sockaddr_in to = v4_address(address, port);
      sent = ::sendto(fd(), text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                      sizeof to);
    } else {
      const sockaddr_in6 to = v6_address(address, port);
      sent = ::sendto(fd(), text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                      sizeof to);
    }
    ASSERT_EQ(sent, static_cast<ssize_t>(text.size())) << std::strerror(errno);
  }
  // The next datagram; empty after `timeout_ms` without one.
  [[nodiscard]] std::string receive(int timeout_ms = 20'000) const {
    return receive_within(timeout_ms, fd());
  }

 private:
  void open(int family, const sockaddr* at, socklen_t bytes) {
    fd_ = Fd{::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    int size = 64 * 1024 * 1024;
    ::setsockopt(fd(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    ASSERT_EQ(::bind(fd(), at, bytes), 0) << std::strerror(errno);
    sockaddr_in6 bound{};
    socklen_t bound_bytes = sizeof bound;
    ASSERT_EQ(::getsockname(fd(), reinterpret_cast<sockaddr*>(&bound), &bound_bytes), 0);
    port_ = ntohs(bound.sin6_port);  // at the same place in both families
  }
  Fd fd_;
  std::uint16_t port_ = 0;
};

// Any bytes as a packet that leaves by the interface.
inline void send_link_layer(const char* name, const std::string& bytes) {
  const Fd fd{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP))};
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_protocol = htons(ETH_P_IP);
  to.sll_ifindex = static_cast<int>(::if_nametoindex(name));
  ASSERT_EQ(::sendto(fd.get(), bytes.data(), bytes.size(), 0,
                     reinterpret_cast<const sockaddr*>(&to), sizeof to),
            static_cast<ssize_t>(bytes.size()))
      << std::strerror(errno);
}

}  // namespace wgring::tun::test
