#include "noise/staged_queue.hpp"

#include "noise/constants.hpp"

namespace wgring::noise {
namespace {

// At the start of a waiting slot; the packet follows.
struct Link {
  std::uint32_t next;
  std::uint32_t bytes;
};
constexpr std::size_t packet_offset = 16;
static_assert(sizeof(Link) <= packet_offset);

// Slots that staging leaves to handshakes and to packets in flight.
constexpr std::size_t packets_reserve = 256;
constexpr std::size_t trains_reserve = 64;

[[nodiscard]] std::size_t needed(std::size_t bytes) noexcept {
  return packet_offset + bytes + plain_tailroom_bytes;
}

[[nodiscard]] MutableBytes slot_of(std::uint32_t tagged, std::uint32_t train_bit,
                                   const Pools& pools) noexcept {
  SlotPool* const pool = (tagged & train_bit) != 0 ? pools.trains : pools.packets;
  return pool->bytes_of(tagged & ~train_bit);
}

[[nodiscard]] Link load_link(MutableBytes slot) noexcept { return detail::load<Link>(slot.data()); }
void store_link(MutableBytes slot, Link link) noexcept { detail::store(slot.data(), link); }

[[nodiscard]] Slot take_slot(std::size_t bytes, const Pools& pools) noexcept {
  if (needed(bytes) <= pools.packets->slot_bytes()) {
    return pools.packets->available() > packets_reserve ? pools.packets->take() : Slot{};
  }
  const bool fits = needed(bytes) <= pools.trains->slot_bytes();
  return fits && pools.trains->available() > trains_reserve ? pools.trains->take() : Slot{};
}

}  // namespace

std::uint32_t StagedQueue::push(const Plain& packet, const Pools& pools) noexcept {
  std::uint32_t lost = 0;
  if (count_ == staged_packets_max) {
    static_cast<void>(pop(pools));
    lost += 1;
  }
  Slot slot = take_slot(packet.bytes, pools);
  // Oldest out, as long as that gives back what is short.
  const bool wants_train = needed(packet.bytes) > pools.packets->slot_bytes();
  while (!slot && count_ > 0 && ((head_ & train_bit) != 0) == wants_train) {
    static_cast<void>(pop(pools));
    lost += 1;
    slot = take_slot(packet.bytes, pools);
  }
  if (!slot) {
    return lost + 1;
  }
  const MutableBytes bytes = slot.bytes();
  store_link(bytes, Link{.next = 0, .bytes = packet.bytes});
  copy_bytes(bytes.subspan(packet_offset), Bytes{packet.data, packet.bytes});
  const std::uint32_t bit = slot.pool() == pools.trains ? train_bit : 0;
  const std::uint32_t tagged = slot.release() | bit;
  if (count_ == 0) {
    head_ = tagged;
  } else {
    const MutableBytes last = slot_of(tail_, train_bit, pools);
    store_link(last, Link{.next = tagged, .bytes = load_link(last).bytes});
  }
  tail_ = tagged;
  count_ += 1;
  return lost;
}

Staged StagedQueue::pop(const Pools& pools) noexcept {
  WG_ASSERT(count_ > 0);
  const MutableBytes bytes = slot_of(head_, train_bit, pools);
  const Link link = load_link(bytes);
  SlotPool* const pool = (head_ & train_bit) != 0 ? pools.trains : pools.packets;
  Staged staged{.slot = pool->adopt(head_ & ~train_bit),
                .data = bytes.data() + packet_offset,
                .bytes = link.bytes};
  head_ = link.next;
  count_ -= 1;
  return staged;
}

std::uint32_t StagedQueue::clear(const Pools& pools) noexcept {
  const std::uint32_t given_up = count_;
  while (count_ > 0) {
    static_cast<void>(pop(pools));
  }
  return given_up;
}

std::uint32_t StagedQueue::front_bytes(const Pools& pools) const noexcept {
  WG_ASSERT(count_ > 0);
  return load_link(slot_of(head_, train_bit, pools)).bytes;
}

}  // namespace wgring::noise
