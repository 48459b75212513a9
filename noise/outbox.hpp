// What leaves the core: a fixed-size Outbox of effects, drained by the caller after each call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/fixed_vector.hpp"
#include "base/slot_pool.hpp"
#include "noise/batch.hpp"
#include "noise/endpoint.hpp"
#include "noise/messages.hpp"

namespace wgring::noise {

// Only code that sealed a packet or made a handshake message can name this; hence nothing plain
// reaches UDP.
class SealedProof {
  friend class TrainBuilder;
  SealedProof() noexcept = default;
};
// Only code that checked the inner source against the peer can name this; hence nothing
// unauthenticated reaches TUN. ICMP errors of our own making are the other source.
class InnerProof {
  friend class InnerSink;
  InnerProof() noexcept = default;
};

// A train of sealed datagrams of one peer to one endpoint: equal sizes, only the last may be
// shorter. `traffic_class` is the outer TOS byte: DSCP and ECN.
struct Transmit {
  Transmit() noexcept = default;
  explicit Transmit(SealedProof) noexcept {}

  Slot slot;
  std::uint32_t bytes = 0;         // all segments, from the start of the slot
  std::uint32_t stride_bytes = 0;  // size of all segments but the last
  std::uint16_t segment_count = 0;
  std::uint8_t traffic_class = 0;
  Endpoint endpoint;
};

// Bytes in front of every delivered packet that are free for a header of the device it goes to.
inline constexpr std::uint32_t inner_headroom_bytes = 16;

// One authenticated inner packet inside the slot of a Deliver.
struct Inner {
  Inner() noexcept = default;
  Inner(InnerProof, std::uint32_t offset, std::uint32_t size) noexcept
      : offset_bytes(offset), bytes(size) {}
  std::uint32_t offset_bytes = 0;
  std::uint32_t bytes = 0;
};

// Inner packets for TUN, in order, all inside `slot`: outbox.inners[first_inner, +inner_count).
struct Deliver {
  Slot slot;
  std::uint32_t first_inner = 0;
  std::uint32_t inner_count = 0;
};

// What another shard has to do, for the peer lives there. Given to the Device of `shard`:
// a packet from TUN, by on_tun(). Its bytes are the loan they were; nobody wrote to them.
struct HandedPlain {
  Plain packet;
  std::uint32_t shard = 0;
};
// An initiation that passed the door (mac1, load, cookie), by on_initiations().
struct HandedInitiation {
  ByteArray<InitiationLayout::size> message{};
  SocketAddress source;
  LocalSource destination;
  std::uint32_t shard = 0;
};

enum class EventKind : std::uint8_t {
  handshake_initiated,
  handshake_completed,
  handshake_gave_up,
  cookie_received,
  keys_zeroed,
  endpoint_changed,
  traffic_while_down,  // TUN gave a packet: the link is up and nobody told us; no peer
};

// For logs above the packet path; lost when the outbox is full, never needed for correctness.
struct Event {
  EventKind kind{};
  std::uint32_t peer_id = 0;
};

struct Outbox {
  static constexpr std::size_t transmits_max = 160;
  static constexpr std::size_t delivers_max = wild_batch_max + plain_batch_max;
  static constexpr std::size_t inners_max = wild_batch_max * train_segments_max + plain_batch_max;
  static constexpr std::size_t events_max = 64;
  static constexpr std::size_t initiations_max = handshakes_per_turn;

  FixedVector<Transmit, transmits_max> transmits;
  FixedVector<Deliver, delivers_max> delivers;
  FixedVector<Inner, inners_max> inners;
  FixedVector<Event, events_max> events;
  FixedVector<HandedPlain, plain_batch_max> handed_plains;
  FixedVector<HandedInitiation, initiations_max> handed_initiations;

  [[nodiscard]] bool empty() const noexcept {
    return transmits.empty() && delivers.empty() && inners.empty() && events.empty() &&
           handed_plains.empty() && handed_initiations.empty();
  }
  void clear() noexcept {
    transmits.clear();
    delivers.clear();
    inners.clear();
    events.clear();
    handed_plains.clear();
    handed_initiations.clear();
  }
};

}  // namespace wgring::noise
