#include "tests/load/frames.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <unistd.h>

namespace load {
namespace {

void store16(std::uint8_t* at, std::uint32_t value) noexcept {
  at[0] = static_cast<std::uint8_t>(value >> 8U);
  at[1] = static_cast<std::uint8_t>(value);
}

void store32(std::uint8_t* at, std::uint32_t value) noexcept {
  store16(at, value >> 16U);
  store16(at + 2, value & 0xFFFFU);
}

std::uint32_t halves(std::uint32_t value) noexcept { return (value >> 16U) + (value & 0xFFFFU); }

// Of words of 16 bits, not folded; an odd byte at the end is the high one.
std::uint32_t sum_of(Bytes bytes) noexcept {
  std::uint32_t sum = 0;
  for (std::size_t at = 0; at + 1 < bytes.size(); at += 2) {
    sum += (std::uint32_t{bytes[at]} << 8U) | bytes[at + 1];
  }
  return bytes.size() % 2 == 0 ? sum : sum + (std::uint32_t{bytes.back()} << 8U);
}

std::uint32_t complement(std::uint32_t sum) noexcept { return ~halves(halves(sum)) & 0xFFFFU; }

iovec loan(Bytes bytes) noexcept {
  return {.iov_base = const_cast<std::uint8_t*>(bytes.data()), .iov_len = bytes.size()};
}

}  // namespace

void fail(const std::string& what) {
  const char* const why = errno == 0 ? "" : std::strerror(errno);
  std::fprintf(stderr, "load_flooder: %s: %s\n", what.c_str(), why);
  std::exit(1);
}

double now_s() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Frames::Frames(const Target& target, Answers answers)
    : family_(target.family),
      ip_bytes_(target.family == Family::v4 ? ip4_bytes : ip6_bytes),
      headers_(batch_frames),
      vectors_(batch_frames),
      messages_(batch_frames) {
  open(answers, target.device_index);
  // Version, TTL and protocol of the header below, and the destination.
  constant_sum_ =
      0x4500U + 0x4000U + ((64U << 8U) | IPPROTO_UDP) + sum_of(Bytes{target.address}.first(4));
  for (std::size_t i = 0; i < batch_frames; ++i) {
    write_constant_part(headers_[i], target);
    vectors_[i][0] = loan(Bytes{headers_[i]}.first(ethernet_bytes + ip_bytes_ + udp_bytes));
    messages_[i].msg_hdr.msg_iov = vectors_[i].data();
  }
}

void Frames::open(Answers answers, int device_index) {
  // Of protocol 0 none comes to the socket, and costs the one who answers nothing.
  const std::uint16_t protocol = answers == Answers::received ? htons(ETH_P_IP) : std::uint16_t{0};
  fd_ = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (fd_ < 0) {
    fail("packet socket (needs CAP_NET_RAW)");
  }
  const int on = 1;
  const int buffer_bytes = 64 << 20;
  // What is refused here only makes it slower.
  ::setsockopt(fd_, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on));
  ::setsockopt(fd_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof(buffer_bytes));
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof(buffer_bytes));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = protocol;
  address.sll_ifindex = device_index;
  if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    fail("bind to the device");
  }
}

Frames::~Frames() { ::close(fd_); }

void Frames::write_constant_part(Header& header, const Target& target) const noexcept {
  std::uint8_t* const ethernet = header.data();
  std::copy(target.mac.begin(), target.mac.end(), ethernet);
  std::copy(target.own_mac.begin(), target.own_mac.end(), ethernet + 6);
  std::uint8_t* const ip = ethernet + ethernet_bytes;
  if (family_ == Family::v4) {
    store16(ethernet + 12, ETH_P_IP);
    store16(ip, 0x4500);
    store16(ip + 6, 0x4000);  // not to be fragmented
    ip[8] = 64;
    ip[9] = IPPROTO_UDP;
    std::copy_n(target.address.begin(), 4, ip + 16);
  } else {
    store16(ethernet + 12, ETH_P_IPV6);
    ip[0] = 0x60;
    ip[6] = IPPROTO_UDP;
    ip[7] = 64;
    store16(ip + 8, 0xFD0B);
    ip[23] = 1;
    std::copy_n(target.address.begin(), 16, ip + 24);
  }
  std::uint8_t* const udp = ip + ip_bytes_;
  store16(udp, source_port);
  store16(udp + 2, target.port);
}

void Frames::add(std::uint32_t source, Bytes head, Bytes tail) {
  const std::size_t udp_length = udp_bytes + head.size() + tail.size();
  std::uint8_t* const ip = headers_[used_].data() + ethernet_bytes;
  store16(ip + ip_bytes_ + 4, static_cast<std::uint32_t>(udp_length));
  if (family_ == Family::v4) {
    write_ip4(ip, source, udp_length);
  } else {
    write_ip6(ip, source, udp_length, head, tail);
  }
  vectors_[used_][1] = loan(head);
  vectors_[used_][2] = loan(tail);
  messages_[used_].msg_hdr.msg_iovlen = tail.empty() ? 2 : 3;
  used_ += 1;
  if (used_ == batch_frames) {
    flush();
  }
}

// The UDP checksum stays zero: none.
void Frames::write_ip4(std::uint8_t* ip, std::uint32_t source,
                       std::size_t udp_length) const noexcept {
  const auto length = static_cast<std::uint32_t>(ip4_bytes + udp_length);
  store16(ip + 2, length);
  store32(ip + 12, source);
  store16(ip + 10, complement(constant_sum_ + length + halves(source)));
}

// IPv6 demands the UDP checksum. `head` has an even length, as every part of an initiation.
void Frames::write_ip6(std::uint8_t* ip, std::uint32_t source, std::size_t udp_length, Bytes head,
                       Bytes tail) noexcept {
  const auto length = static_cast<std::uint32_t>(udp_length);
  store16(ip + 4, length);
  store32(ip + 10, source);
  std::uint8_t* const udp = ip + ip6_bytes;
  store16(udp + 6, 0);
  const std::uint32_t sum = length + IPPROTO_UDP + sum_of(Bytes{ip + 8, 32}) +
                            sum_of(Bytes{udp, udp_bytes}) + sum_of(head) + sum_of(tail);
  const std::uint32_t checksum = complement(sum);
  store16(udp + 6, checksum == 0 ? 0xFFFFU : checksum);
}

void Frames::flush() {
  std::size_t done = 0;
  while (done < used_) {
    const int sent =
        ::sendmmsg(fd_, &messages_[done], static_cast<unsigned>(used_ - done), MSG_DONTWAIT);
    if (sent > 0) {
      done += static_cast<std::size_t>(sent);
      sent_.frames += static_cast<std::uint64_t>(sent);
    } else if (errno == ENOBUFS || errno == EAGAIN || errno == EINTR) {
      sent_.refused += 1;
      break;  // a flood does not come back for what was lost
    } else {
      fail("sendmmsg");
    }
  }
  used_ = 0;
}

}  // namespace load
