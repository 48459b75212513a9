// What the kernel refused, and what moved: plain numbers of one engine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace wgring::tun {

enum class IoError : std::uint8_t {
  no_buffers,           // ENOBUFS, ENOMEM
  not_permitted,        // EPERM, EACCES: a firewall
  network_unreachable,  // ENETUNREACH
  host_unreachable,     // EHOSTUNREACH
  message_too_long,     // EMSGSIZE
  invalid,              // EINVAL
  io,                   // EIO: for TUN, the link is down
  network_down,         // ENETDOWN
  connection_refused,   // ECONNREFUSED
  address_unavailable,  // EADDRNOTAVAIL
  no_device,            // ENODEV, ENXIO
  would_block,          // EAGAIN where nothing may wait
  other,
  count,
};

inline constexpr std::size_t io_error_count = static_cast<std::size_t>(IoError::count);

[[nodiscard]] IoError classify_errno(int errno_value) noexcept;
// A send from a certain address may have been refused for that address' sake.
[[nodiscard]] bool blames_source(int errno_value) noexcept;
// The enumerator's own name, for statistics.
[[nodiscard]] std::string_view io_error_name(IoError) noexcept;

struct IoErrors {
  std::array<std::uint64_t, io_error_count> packets{};
  void add(int errno_value, std::uint64_t n = 1) noexcept {
    packets[static_cast<std::size_t>(classify_errno(errno_value))] += n;
  }
  IoErrors& operator+=(const IoErrors& more) noexcept;
  [[nodiscard]] std::uint64_t operator[](IoError error) const noexcept {
    return packets[static_cast<std::size_t>(error)];
  }
  [[nodiscard]] std::uint64_t sum() const noexcept;
};

struct EngineCounters {
  std::uint64_t udp_received = 0;
  std::uint64_t udp_sent = 0;
  std::uint64_t tun_read = 0;
  std::uint64_t tun_written = 0;
  // Lost, each packet in one of these. The kernel's count, and those of what was cut or had no
  // slot, are of receives, which may be trains; receive_errors is of calls, also of those that ask
  // what came or has room, and tun_errors has failed polls as well: with these nothing is lost.
  std::uint64_t udp_truncated = 0;       // longer than a slot, or control messages cut
  std::uint64_t udp_no_buffer = 0;       // no slot free to receive into
  std::uint64_t udp_backlog_full = 0;    // the socket took nothing and the backlog was full
  std::uint64_t udp_no_socket = 0;       // no socket of that family
  std::uint64_t udp_kernel_dropped = 0;  // SO_RXQ_OVFL, of the present sockets
  std::uint64_t door_dropped = 0;        // likewise, of the door
  std::uint64_t door_full = 0;           // let in there, but the shard had not made room
  std::uint64_t tun_after_end = 0;       // for TUN, after the interface went
  IoErrors send_errors;
  IoErrors receive_errors;
  IoErrors tun_errors;
  // Not losses:
  std::uint64_t sources_refused = 0;     // sticky sources dropped, the datagram was sent without
  std::uint64_t receive_ring_empty = 0;  // times the kernel had used all slots lent to it
  std::uint64_t send_waits = 0;          // times a full socket made the engine wait
  std::uint64_t trains_sent = 0;         // messages that stood for several datagrams
  std::uint64_t trains_received = 0;
  std::uint64_t strangers_received = 0;  // of udp_received, at the door
  std::uint64_t strangers_let_in = 0;    // of those, with what the kernel joined to others
  std::uint64_t super_packets_read = 0;  // of TUN, each of several segments
  std::uint64_t super_packets_written = 0;
  std::uint64_t segmentation_refused = 0;  // a train was sent again, one by one
  std::uint64_t joining_refused = 0;       // a super-packet was written again, one by one

  EngineCounters& operator+=(const EngineCounters& more) noexcept;
};

}  // namespace wgring::tun
