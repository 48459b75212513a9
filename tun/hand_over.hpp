// HandOver: what one thread gives to a shard: packets and initiations whose peer lives there, and
// what the door lets in.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/bytes.hpp"
#include "base/fixed_vector.hpp"
#include "base/result.hpp"
#include "noise/outbox.hpp"
#include "tun/packet_memory.hpp"

namespace wgring::tun {

// A datagram that the kernel joined to one for the door of the same flow, so that it came there.
// For Device::on_udp().
struct StrayDatagram {
  Bytes datagram;  // a loan
  noise::SocketAddress source;
  noise::LocalSource destination;
  std::uint8_t ecn = 0;
};

// A ring of bytes. Packets and datagrams are copied in and used where they lie, so the other shard
// pays no copy and no slot changes its owner. Thread: the giver calls push() and publish(), the
// taker the others. Neither ever waits. Order: first in, first out.
class HandOver {
 public:
  static constexpr std::size_t bytes = std::size_t{512} * 1024;  // eight of the largest packets

  // What the taker gets in one go; the bytes are a loan until release(), with their tailroom.
  struct Batch {
    FixedVector<noise::Plain, noise::plain_batch_max> plains;
    FixedVector<noise::HandedInitiation, noise::handshakes_per_turn> initiations;
    FixedVector<StrayDatagram, noise::wild_batch_max> strays;
    void clear() noexcept {
      plains.clear();
      initiations.clear();
      strays.clear();
    }
  };

  HandOver() noexcept = default;
  HandOver(const HandOver&) = delete;
  HandOver& operator=(const HandOver&) = delete;
  [[nodiscard]] Status open() noexcept;

  // False: no room, nothing was stored. Not seen by the taker before publish().
  [[nodiscard]] bool push(const noise::Plain& packet) noexcept;
  [[nodiscard]] bool push(const noise::HandedInitiation& initiation) noexcept;
  [[nodiscard]] bool push(const StrayDatagram& stray) noexcept;
  void publish() noexcept;

  [[nodiscard]] bool empty() const noexcept {
    return tail_.load(std::memory_order_seq_cst) == read_;
  }
  // What has been published, as much as the empty `batch` holds; all before it was released.
  void take(Batch& batch) noexcept;
  void release() noexcept;

 private:
  struct Record;

  [[nodiscard]] Record* reserve(std::size_t payload_bytes) noexcept;
  [[nodiscard]] Record& at(std::uint64_t position) const noexcept;

  PacketMemory memory_;
  // Positions only grow; the place is what is left by `bytes`. The ends stand on lines of their
  // own, each with what only its side touches.
  alignas(64) std::atomic<std::uint64_t> tail_{0};
  std::uint64_t written_ = 0;  // giver: up to here, published or not
  alignas(64) std::atomic<std::uint64_t> head_{0};
  std::uint64_t read_ = 0;  // taker: up to here, released or not
};

}  // namespace wgring::tun
