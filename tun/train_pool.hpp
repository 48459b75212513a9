// The buffers of one shard: trains for whatever moves, packets for what is small and waits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/result.hpp"
#include "base/slot_pool.hpp"
#include "noise/batch.hpp"
#include "tun/packet_memory.hpp"

namespace wgring::tun {

// --- slot sizes ---
inline constexpr std::size_t train_headroom_bytes = 192;  // for what a ReceiveRing puts there
inline constexpr std::size_t train_slot_bytes = 72 * 1024 - train_headroom_bytes;
inline constexpr std::size_t packet_slot_bytes = 2 * 1024;
inline constexpr std::size_t inner_packet_bytes_max = 65'575;  // IPv6: 65 535 behind 40 of header
inline constexpr std::size_t data_header_bytes = 16;
inline constexpr std::size_t data_tag_bytes = 16;
inline constexpr std::size_t data_padding_bytes_max = 15;
inline constexpr std::size_t virtio_header_bytes = 10;

// A sealed packet of any legal size, and what the kernel may hand over in one receive.
static_assert(train_slot_bytes >= noise::train_bytes_max + data_header_bytes + data_tag_bytes);
static_assert(train_slot_bytes >= virtio_header_bytes + inner_packet_bytes_max +
                                      data_padding_bytes_max + data_tag_bytes +
                                      noise::plain_tailroom_bytes);
// A staged packet of the usual MTU with its padding and tag.
static_assert(packet_slot_bytes >= data_header_bytes + 1500 + data_padding_bytes_max +
                                       data_tag_bytes + noise::plain_tailroom_bytes);

// --- who holds trains, at most ---
inline constexpr std::size_t receive_trains = noise::wild_batch_max;  // filled next
inline constexpr std::size_t receive_ring_trains = 4;  // of those, lent to the kernel by uring
inline constexpr std::size_t deliver_trains = noise::wild_batch_max;  // opened, being written
inline constexpr std::size_t tun_read_trains = 16;
inline constexpr std::size_t outbox_trains = 48;  // sealed in this turn; Device::on_tun() may stop
inline constexpr std::size_t send_backlog_trains = 64;  // sealed, the socket is full
inline constexpr std::size_t staged_trains = 16;        // inner packets above a packet slot
inline constexpr std::size_t train_count = receive_trains + deliver_trains + tun_read_trains +
                                           outbox_trains + send_backlog_trains + staged_trains;

// --- who holds packets, at most ---
inline constexpr std::size_t staged_packets = 1024;    // all peers together wait in these
inline constexpr std::size_t handshake_packets = 160;  // one Outbox of messages
inline constexpr std::size_t backlog_packets = 256;    // messages the socket has not taken yet
inline constexpr std::size_t packet_count = staged_packets + handshake_packets + backlog_packets;

inline constexpr std::size_t pool_bytes_max = std::size_t{20} * 1024 * 1024;
static_assert(train_count * (train_headroom_bytes + train_slot_bytes) +
                  packet_count * packet_slot_bytes <
              pool_bytes_max);

// Owner: one shard. Thread: the shard's. Lifetime: outlives the Device and the engine.
// Memory is mapped at once and becomes resident as slots are touched; a slot returned last is
// taken first, so a quiet shard touches few of them.
class TrainPools {
 public:
  TrainPools() noexcept = default;
  TrainPools(const TrainPools&) = delete;
  TrainPools& operator=(const TrainPools&) = delete;

  [[nodiscard]] Status open() noexcept;
  [[nodiscard]] SlotPool& trains() noexcept { return *trains_; }
  [[nodiscard]] SlotPool& packets() noexcept { return *packets_; }

 private:
  PacketMemory memory_;  // before the pools: it outlives them
  std::array<std::uint32_t, train_count> train_list_{};
  std::array<std::uint32_t, packet_count> packet_list_{};
  std::optional<SlotPool> trains_;
  std::optional<SlotPool> packets_;
};

}  // namespace wgring::tun
