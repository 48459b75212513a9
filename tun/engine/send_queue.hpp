// SendQueue: trains on their way to one socket, first in first out.
//
// The queue is what makes order certain on every engine: only its head is given to the kernel, in
// one batch at a time, and a batch ends at its first failure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/fixed_vector.hpp"
#include "noise/outbox.hpp"
#include "tun/engine/counters.hpp"
#include "tun/engine/refused_destinations.hpp"
#include "tun/message.hpp"
#include "tun/train_pool.hpp"

namespace wgring::tun {

// Messages as the kernel takes them: a datagram, or a run of them that the kernel cuts
// (UDP_SEGMENT). Those of one train share its address and control.
struct SendBatch {
  static constexpr std::size_t messages_max = 64;
  std::array<mmsghdr, messages_max> messages;
  std::array<iovec, messages_max> payloads;
  std::array<NativeAddress, messages_max> names;
  std::array<SendControl, messages_max> controls;
  std::array<std::uint16_t, messages_max> datagrams;  // in each message
  std::size_t size = 0;
};

// The kernel took the first `messages`: counts them and returns how many datagrams they were.
[[nodiscard]] std::size_t count_sent(const SendBatch& batch, std::size_t messages,
                                     EngineCounters& counters) noexcept;

// Of one turn. What finds no room is refused again, at the next datagram that asks for it.
using RefusedSources = FixedVector<noise::LocalSource, 4>;

enum class SendNext : std::uint8_t {
  again,  // the head may be tried at once
  wait,   // until the socket is writable
  fatal,  // the descriptor is unusable
};

// Whether trains go out whole. Also when the kernel can: a path that cannot is remembered.
enum class Segmentation : std::uint8_t { off, on };

// Owner: one engine. Bounded: what does not fit is the caller's to drop and count.
class SendQueue {
 public:
  static constexpr std::size_t trains_max = send_backlog_trains / 2;  // two families
  static constexpr std::size_t packets_max = backlog_packets / 2;
  static constexpr std::size_t capacity = 256;
  static_assert(trains_max + packets_max <= capacity && (capacity & (capacity - 1)) == 0);

  // Before the first push, and again for each new socket.
  void restart(Segmentation segmentation) noexcept;
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool has_room_for(const noise::Transmit& transmit) const noexcept;
  void push(noise::Transmit&& transmit) noexcept;

  // Describes the messages at the head; loans until the next call that is not const.
  void describe(SendBatch& batch) const noexcept;
  // The first `datagrams` described were sent. A source without which one of them was sent, and
  // with which it was refused, is added: it is ours no more.
  void advance(std::size_t datagrams, RefusedSources& refused) noexcept;
  // The message at the head was refused. Decides by errno: send it one datagram at a time, send it
  // without its sticky source, drop it or its train (counted), or wait.
  [[nodiscard]] SendNext settle_failure(int errno_value, EngineCounters& counters,
                                        RefusedSources& refused) noexcept;
  // Gives up everything; returns how many datagrams.
  std::uint64_t clear() noexcept;

 private:
  // `plain`: one datagram at a time.
  struct Entry {
    noise::Transmit train;
    bool plain = true;
  };

  [[nodiscard]] Entry& at(std::size_t i) noexcept { return ring_[(head_ + i) & (capacity - 1)]; }
  [[nodiscard]] const Entry& at(std::size_t i) const noexcept {
    return ring_[(head_ + i) & (capacity - 1)];
  }
  // How many datagrams the message that begins with `segment` of the entry holds.
  [[nodiscard]] std::uint32_t message_segments(const Entry& entry,
                                               std::uint32_t segment) const noexcept;
  [[nodiscard]] bool refuses_segmentation(int errno_value, EngineCounters& counters) noexcept;
  void pop() noexcept;

  std::array<Entry, capacity> ring_{};
  RefusedDestinations refused_;
  Segmentation segmentation_ = Segmentation::off;
  std::uint32_t message_segments_max_ = noise::train_segments_max;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
  std::size_t trains_ = 0;          // of size_, those in train slots
  std::uint32_t head_segment_ = 0;  // the head's segments before this one are done
  // The head's source that may have been why it was refused; of no family: none.
  noise::LocalSource suspect_;
};

}  // namespace wgring::tun
