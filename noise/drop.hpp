// Why a packet went no further: one counter each, shown by the daemon's statistics.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace wgring::noise {

enum class Drop : std::uint8_t {
  malformed,             // unknown type, wrong length for it, reserved bytes set, from port 0
  bad_mac1,              // not for our public key
  handshake_queue_full,  // 4096 handshakes wait, or 8 of one sender
  around_door,           // initiation of a stranger, where such go to the door
  rate_limited,          // proven source above 20 per second
  cookie_sent,           // under load without a valid mac2: answered by a cookie, not processed
  bad_handshake,         // tag, unknown peer, low-order point, state or replayed timestamp
  bad_cookie_reply,      // unsolicited or not authentic
  no_identity,           // no private key
  unknown_index,         // no keypair by this receiver index
  expired_key,           // key older than 180 s or past its message limit
  bad_tag,               // not authentic
  replayed,              // counter seen or too old
  bad_inner,             // inner packet not IP or longer than the payload
  wrong_source,          // inner source is not this peer's
  no_route,              // inner destination belongs to no peer
  no_endpoint,           // that peer has no endpoint
  staged_overflow,       // oldest staged packet made room, or no memory to stage
  staged_abandoned,      // staged packets given up with the handshake or the link
  no_buffer,             // no train for the outgoing packet
  no_entropy,            // the random source failed
  too_long,              // would not fit a UDP datagram
  link_down,             // the interface is down
  count,
};

inline constexpr std::size_t drop_count = static_cast<std::size_t>(Drop::count);

// The counter's name in statistics: the enumerator's own.
[[nodiscard]] std::string_view drop_name(Drop) noexcept;

struct DropCounters {
  std::array<std::uint64_t, drop_count> packets{};
  void add(Drop reason, std::uint64_t n = 1) noexcept {
    packets[static_cast<std::size_t>(reason)] += n;
  }
  [[nodiscard]] std::uint64_t operator[](Drop reason) const noexcept {
    return packets[static_cast<std::size_t>(reason)];
  }
};

}  // namespace wgring::noise
