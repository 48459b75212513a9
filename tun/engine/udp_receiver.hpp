// UdpReceiver: a batch of empty slots, filled by recvmmsg.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/slot_pool.hpp"
#include "tun/engine/engine.hpp"
#include "tun/message.hpp"

namespace wgring::tun {

enum class ReceiveNext : std::uint8_t {
  more,     // the batch is full; there may be more
  drained,  // the socket is empty
  fatal,    // the descriptor is unusable
};

// Owner: one engine, or the door.
class UdpReceiver {
 public:
  static constexpr std::size_t batch_max = noise::wild_batch_max;

  // Takes slots until `count` datagrams can be received in one batch.
  void refill(SlotPool& trains, std::size_t count = batch_max) noexcept;
  // Moves datagrams of `fd` into the inbox until that has `full` of them or the socket is empty.
  // `kernel_drops` is that socket's running count.
  [[nodiscard]] ReceiveNext receive(int fd, std::size_t full, Inbox& inbox,
                                    EngineCounters& counters, std::uint32_t& kernel_drops) noexcept;
  void release() noexcept;

 private:
  // Returns how many were received, or a negative errno.
  [[nodiscard]] int receive_some(int fd, std::size_t count) noexcept;
  [[nodiscard]] int drop_one(int fd, EngineCounters& counters) noexcept;
  void accept(std::size_t count, Inbox& inbox, EngineCounters& counters,
              std::uint32_t& kernel_drops) noexcept;

  std::array<Slot, batch_max> slots_{};  // [0, filled_) are taken from the pool
  std::size_t filled_ = 0;
  std::array<mmsghdr, batch_max> messages_{};
  std::array<ReceiveFrame, batch_max> frames_{};
};

// A datagram, or a train of them.
void count_received(const noise::Wild& wild, EngineCounters& counters) noexcept;
// Adds what the kernel says it dropped since the last time it said so. Wraps as its number does.
inline void count_kernel_drops(std::uint32_t before, std::uint32_t now,
                               std::uint64_t& counter) noexcept {
  counter += now - before;
}

}  // namespace wgring::tun
