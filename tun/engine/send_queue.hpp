// SendQueue: trains on their way to one socket, first in first out.
//
// The queue is what makes order certain on every engine: only its head is given to the kernel, in
// one batch at a time, and a batch ends at its first failure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "noise/outbox.hpp"
#include "tun/engine/counters.hpp"
#include "tun/message.hpp"
#include "tun/train_pool.hpp"

namespace wgring::tun {

// Datagrams as the kernel takes them. Segments of one train share its address and control.
struct SendBatch {
  static constexpr std::size_t messages_max = 64;
  std::array<mmsghdr, messages_max> messages;
  std::array<iovec, messages_max> payloads;
  std::array<NativeAddress, messages_max> names;
  std::array<SendControl, messages_max> controls;
  std::size_t size = 0;
};

enum class SendNext : std::uint8_t {
  again,  // the head may be tried at once
  wait,   // until the socket is writable
  fatal,  // the descriptor is unusable
};

// Owner: one engine. Bounded: what does not fit is the caller's to drop and count.
class SendQueue {
 public:
  static constexpr std::size_t trains_max = send_backlog_trains / 2;  // two families
  static constexpr std::size_t packets_max = backlog_packets / 2;
  static constexpr std::size_t capacity = 256;
  static_assert(trains_max + packets_max <= capacity && (capacity & (capacity - 1)) == 0);

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool has_room_for(const noise::Transmit& transmit) const noexcept;
  void push(noise::Transmit&& transmit) noexcept;

  // Describes the datagrams at the head; loans until the next call that is not const.
  void describe(SendBatch& batch) const noexcept;
  // The first `count` described were sent.
  void advance(std::size_t count) noexcept;
  // The datagram at the head was refused. Decides by errno: drop it or its train (counted), send
  // it without its sticky source, or wait. `count` datagrams dropped are in `counters`.
  [[nodiscard]] SendNext settle_failure(int errno_value, EngineCounters& counters) noexcept;
  // Gives up everything; returns how many datagrams.
  std::uint64_t clear() noexcept;

 private:
  [[nodiscard]] noise::Transmit& at(std::size_t i) noexcept {
    return ring_[(head_ + i) & (capacity - 1)];
  }
  [[nodiscard]] const noise::Transmit& at(std::size_t i) const noexcept {
    return ring_[(head_ + i) & (capacity - 1)];
  }
  void pop() noexcept;

  std::array<noise::Transmit, capacity> ring_{};
  std::size_t head_ = 0;
  std::size_t size_ = 0;
  std::size_t trains_ = 0;          // of size_, those in train slots
  std::uint32_t head_segment_ = 0;  // the head's segments before this one are done
};

}  // namespace wgring::tun
