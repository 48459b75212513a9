// StagedQueue: inner packets that wait for a key, per peer (protocol section 11).
#pragma once

#include <cstdint>

#include "base/slot_pool.hpp"
#include "noise/batch.hpp"

namespace wgring::noise {

// The two pools of a shard. Staging never takes the last slots: handshakes and trains need them.
struct Pools {
  SlotPool* trains = nullptr;
  SlotPool* packets = nullptr;
};

// One staged packet: its slot and where the bytes lie; plain_tailroom_bytes follow them.
struct Staged {
  Slot slot;
  std::uint8_t* data = nullptr;
  std::uint32_t bytes = 0;
};

// A FIFO whose links live in the waiting slots themselves, so an idle peer pays 16 bytes.
// Owner: a peer. The pools outlive it; it is emptied before its peer goes.
class StagedQueue {
 public:
  StagedQueue() noexcept = default;
  StagedQueue(const StagedQueue&) = delete;
  StagedQueue& operator=(const StagedQueue&) = delete;
  ~StagedQueue() { WG_ASSERT(count_ == 0); }

  // Copies the packet to the end. Returns how many packets were lost by it: the oldest when there
  // are staged_packets_max, or one of them (or this one) when the pools run short.
  [[nodiscard]] std::uint32_t push(const Plain& packet, const Pools& pools) noexcept;
  // The oldest; not empty (asserted).
  [[nodiscard]] Staged pop(const Pools& pools) noexcept;
  // Gives up all; returns how many there were.
  std::uint32_t clear(const Pools& pools) noexcept;

  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  // Size of the oldest packet; not empty (asserted).
  [[nodiscard]] std::uint32_t front_bytes(const Pools& pools) const noexcept;

 private:
  // A slot's id with its pool in the top bit.
  static constexpr std::uint32_t train_bit = 0x8000'0000U;

  std::uint32_t head_ = 0;
  std::uint32_t tail_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace wgring::noise
