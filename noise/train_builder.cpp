#include "noise/train_builder.hpp"

#include <utility>

namespace wgring::noise {

bool TrainBuilder::may_join(const Transmit& train, const Peer& peer, std::uint32_t bytes,
                            std::uint8_t traffic_class) noexcept {
  // A shorter segment ends a train: what is there must still be all of one size.
  const bool open = train.bytes == train.stride_bytes * train.segment_count;
  return open && bytes <= train.stride_bytes && train.segment_count < train_segments_max &&
         train.bytes + bytes <= train_bytes_max && train.traffic_class == traffic_class &&
         train.endpoint == peer.endpoint;
}

std::uint8_t* TrainBuilder::data_segment(Peer& peer, std::uint32_t bytes,
                                         std::uint8_t traffic_class) noexcept {
  if (peer.train_turn == turn_ && peer.train_at < outbox_.transmits.size()) {
    Transmit& train = outbox_.transmits[peer.train_at];
    if (may_join(train, peer, bytes, traffic_class)) {
      std::uint8_t* const at = train.slot.data() + train.bytes;
      train.bytes += bytes;
      train.segment_count += 1;
      return at;
    }
  }
  Slot slot = room() > 0 && bytes <= train_bytes_max ? pools_.trains->take() : Slot{};
  if (!slot) {
    return nullptr;
  }
  peer.train_turn = turn_;
  peer.train_at = static_cast<std::uint32_t>(outbox_.transmits.size());
  Transmit train{SealedProof{}};
  train.slot = std::move(slot);
  train.bytes = bytes;
  train.stride_bytes = bytes;
  train.segment_count = 1;
  train.traffic_class = traffic_class;
  train.endpoint = peer.endpoint;
  return outbox_.transmits.push_back(std::move(train)).slot.data();
}

MutableBytes TrainBuilder::message(const Endpoint& to, std::uint32_t bytes,
                                   std::uint8_t traffic_class) noexcept {
  Slot slot = room() > 0 ? pools_.packets->take() : Slot{};
  if (!slot) {
    return {};
  }
  Transmit train{SealedProof{}};
  train.slot = std::move(slot);
  train.bytes = bytes;
  train.stride_bytes = bytes;
  train.segment_count = 1;
  train.traffic_class = traffic_class;
  train.endpoint = to;
  return outbox_.transmits.push_back(std::move(train)).slot.bytes().first(bytes);
}

}  // namespace wgring::noise
