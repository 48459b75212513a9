// InnerSink: the only door to TUN. Two may use it: the receiver, for packets whose tag, replay
// counter and source were checked, and ICMP errors of our own making.
#pragma once

#include <cstdint>
#include <utility>

#include "noise/outbox.hpp"

namespace wgring::noise {

class InnerSink {
 public:
  // `packet` lies inside the wild's slot, which the caller moves into a Deliver afterwards.
  static void from_peer(const Wild& wild, Bytes packet, Outbox& outbox) noexcept {
    const auto offset = static_cast<std::uint32_t>(packet.data() - wild.slot.data());
    outbox.inners.push_back(Inner{InnerProof{}, offset, static_cast<std::uint32_t>(packet.size())});
  }

  // `bytes` of the slot behind inner_headroom_bytes, as a Deliver of its own.
  static void from_us(Slot slot, std::size_t bytes, Outbox& outbox) noexcept {
    const auto first = static_cast<std::uint32_t>(outbox.inners.size());
    outbox.inners.push_back(
        Inner{InnerProof{}, inner_headroom_bytes, static_cast<std::uint32_t>(bytes)});
    outbox.delivers.push_back(
        Deliver{.slot = std::move(slot), .first_inner = first, .inner_count = 1});
  }
};

}  // namespace wgring::noise
