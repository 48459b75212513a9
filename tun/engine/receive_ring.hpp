// ReceiveRing: slots lent to the kernel, which puts each datagram that comes into one of them.
//
//   | io_uring_recvmsg_out | name | control | payload
//   |<------ the slot's headroom ---------->|<--- the slot
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <liburing.h>
#include <sys/socket.h>

#include "base/result.hpp"
#include "base/slot_pool.hpp"
#include "noise/batch.hpp"
#include "tun/message.hpp"
#include "tun/train_pool.hpp"

namespace wgring::tun {

// Owner: one engine. Lifetime: close() when no receive is in flight, before the io_uring ends.
class ReceiveRing {
 public:
  static constexpr std::size_t slots_max = receive_ring_trains;

  ReceiveRing() noexcept = default;
  ReceiveRing(const ReceiveRing&) = delete;
  ReceiveRing& operator=(const ReceiveRing&) = delete;
  ~ReceiveRing();

  [[nodiscard]] Status open(io_uring& ring) noexcept;
  // Gives all slots back.
  void close(io_uring& ring) noexcept;
  [[nodiscard]] bool is_open() const noexcept { return entries_ != nullptr; }

  // Lends slots until the kernel has slots_max, or the pool is empty.
  void refill(SlotPool& trains) noexcept;
  // True: the kernel has none; a receive would end at once.
  [[nodiscard]] bool empty() const noexcept { return lent_ == 0; }
  // A receive that stays: a completion, each with a slot, for every datagram.
  void prepare(io_uring_sqe* entry, int fd) noexcept;
  // The slot that a completion names: it is no longer lent.
  [[nodiscard]] Slot take(std::size_t id) noexcept;
  // As parse_received(), of what the kernel wrote around the payload.
  [[nodiscard]] Parsed parse(const Slot& slot, noise::Wild& wild,
                             std::uint32_t& kernel_drops) const noexcept;

 private:
  io_uring_buf_ring* entries_ = nullptr;
  std::array<Slot, slots_max> slots_{};  // by id; empty: not lent
  std::size_t lent_ = 0;
  msghdr layout_{};  // how much room name and control get
};

}  // namespace wgring::tun
