// What enters the core: datagrams from UDP (Wild) and inner packets from TUN (Plain).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/slot_pool.hpp"
#include "noise/endpoint.hpp"
#include "noise/vnet_header.hpp"

namespace wgring::noise {

// Bytes below and above a packet in a Plain buffer that the core may overwrite: padding, headers.
inline constexpr std::size_t plain_tailroom_bytes = 32;

// Sizes of one turn. With them the effects of a turn fit the Outbox by construction.
inline constexpr std::size_t wild_batch_max = 48;
inline constexpr std::size_t plain_batch_max = 64;
inline constexpr std::size_t train_segments_max = 64;
inline constexpr std::size_t received_segments_max = 128;  // a kernel may join more than we do
inline constexpr std::size_t train_bytes_max = 65'507;     // largest UDP payload over IPv4
inline constexpr std::uint32_t handshakes_per_turn =
    4;  // messages that cost scalar multiplications

// One receive: a datagram, or a train of them when the kernel joined a run (UDP_GRO). Nothing
// about its bytes is known. Owns its slot: data is opened in place and leaves in the same slot.
struct Wild {
  Slot slot;
  std::uint32_t bytes = 0;         // from the start of the slot
  std::uint32_t stride_bytes = 0;  // distance of segments; 0: one datagram. The last may be shorter
  SocketAddress source;
  LocalSource destination;  // where it arrived: address and interface
  std::uint8_t ecn = 0;     // of the outer header, two bits
  bool to_many = false;     // a broadcast or multicast: every socket of the port has a copy
};

// From one datagram to the next; zero only when there is nothing.
[[nodiscard]] inline std::uint32_t stride_of(const Wild& wild) noexcept {
  return wild.stride_bytes == 0 ? wild.bytes : std::min(wild.stride_bytes, wild.bytes);
}

// One TUN read, here or of another shard: an inner packet, or a super-packet that stands for many
// (`offload` says how it is cut). The bytes and plain_tailroom_bytes behind them are a loan until
// on_tun() returns, and may be overwritten by it.
struct Plain {
  std::uint8_t* data = nullptr;
  std::uint32_t bytes = 0;
  VnetHeader offload{};
  bool handed = false;  // by another shard, which took the peer for one of ours
};

}  // namespace wgring::noise
