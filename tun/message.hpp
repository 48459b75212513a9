// Between the core's addresses and the kernel's: socket addresses and control messages.
// Both directions of a message are here (protocol 15, 17).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <netinet/in.h>
#include <sys/socket.h>

#include "noise/batch.hpp"
#include "noise/outbox.hpp"

namespace wgring::tun {

struct NativeAddress {
  union {
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  socklen_t bytes = 0;
  NativeAddress() noexcept : v6{} {}
};

void to_native(const noise::SocketAddress& from, NativeAddress& to) noexcept;
// Unset family when the kernel's address is neither v4 nor v6.
[[nodiscard]] noise::SocketAddress from_native(const sockaddr* from, socklen_t bytes) noexcept;

// --- out ---
// Source address and traffic class of one train, and where the kernel cuts it.
struct SendControl {
  static constexpr std::size_t bytes_max =
      CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(std::uint16_t));
  alignas(cmsghdr) std::array<std::uint8_t, bytes_max> data;
  std::size_t bytes = 0;
};

// `segment_bytes` 0: one datagram. Else UDP_SEGMENT: the payload is a run of datagrams of this
// size, of which the last may be shorter.
void build_control(const noise::Endpoint& endpoint, std::uint8_t traffic_class,
                   std::uint16_t segment_bytes, SendControl& control) noexcept;

// --- in ---
// Room for one receive beside its payload: source address and control messages.
struct ReceiveFrame {
  static constexpr std::size_t control_bytes_max =
      CMSG_SPACE(sizeof(in6_pktinfo)) + 4 * CMSG_SPACE(sizeof(int));
  sockaddr_in6 name;
  alignas(cmsghdr) std::array<std::uint8_t, control_bytes_max> control;
  iovec payload;
};

// Before each receive: the kernel overwrites the lengths.
void prepare_receive(ReceiveFrame& frame, MutableBytes payload, msghdr& header) noexcept;

enum class Parsed : std::uint8_t { ok, truncated };

// Fills all of `wild` but its slot. `kernel_drops` is the socket's running count of datagrams that
// found no buffer, left alone when the kernel did not say.
[[nodiscard]] Parsed parse_received(const msghdr& header, std::size_t bytes, noise::Wild& wild,
                                    std::uint32_t& kernel_drops) noexcept;

}  // namespace wgring::tun
