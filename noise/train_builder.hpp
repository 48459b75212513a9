// TrainBuilder: room for sealed datagrams in the outbox, joined to trains where they may be.
#pragma once

#include <cstdint>

#include "noise/outbox.hpp"
#include "noise/peer.hpp"
#include "noise/staged_queue.hpp"

namespace wgring::noise {

// Lives for one turn. The bytes it hands out are part of an effect already: they must be filled
// before the turn ends.
class TrainBuilder {
 public:
  TrainBuilder(Outbox& outbox, const Pools& pools, std::uint64_t turn) noexcept
      : outbox_(outbox), pools_(pools), turn_(turn) {}

  // `bytes` for the next data message to the peer's endpoint: behind the peer's last one when
  // sizes, endpoint and traffic class allow, else in a new train. Order inside a peer is kept.
  // nullptr: no train free or the outbox is full.
  [[nodiscard]] std::uint8_t* data_segment(Peer& peer, std::uint32_t bytes,
                                           std::uint8_t traffic_class) noexcept;
  // A handshake or cookie message as a train of its own. Empty: no slot or no room.
  [[nodiscard]] MutableBytes message(const Endpoint& to, std::uint32_t bytes,
                                     std::uint8_t traffic_class) noexcept;
  [[nodiscard]] std::size_t room() const noexcept { return outbox_.transmits.room(); }

 private:
  [[nodiscard]] static bool may_join(const Transmit& train, const Peer& peer, std::uint32_t bytes,
                                     std::uint8_t traffic_class) noexcept;

  Outbox& outbox_;
  const Pools& pools_;
  std::uint64_t turn_;
};

}  // namespace wgring::noise
