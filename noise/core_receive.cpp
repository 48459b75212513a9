// Receiving (protocol section 12):
//   1 datagrams of a train by type; handshakes wait in their queue
//   2 data: index -> keypair, alive and under its limits; a run of one index is opened in place
//   3 replay, roaming, confirmation, freshness, timers: in this order, only after the tag
//   4 inner length, ECN, inner source against the device-wide table; then TUN
#include <algorithm>
#include <utility>

#include "crypto/aead.hpp"
#include "noise/core.hpp"
#include "noise/inner.hpp"
#include "noise/inner_sink.hpp"
#include "noise/messages.hpp"

namespace wgring::noise {

// The header of the data message, which nobody needs any more.
static_assert(DataLayout::header_bytes >= inner_headroom_bytes);

void Core::on_udp(std::span<Wild> batch, Now now, Outbox& outbox) noexcept {
  WG_ASSERT(batch.size() <= wild_batch_max);
  Turn turn = begin_turn(now, outbox);
  if (const std::size_t bytes = bytes_to_divide(batch); bytes > 0) {
    receive_divided(batch, bytes, turn);
  } else {
    receive_all(batch, turn);
  }
  end_turn(turn);
}

void Core::receive_all(std::span<Wild> batch, Turn& turn) noexcept {
  Outbox& outbox = turn.outbox;
  for (Wild& wild : batch) {
    const auto first = static_cast<std::uint32_t>(outbox.inners.size());
    receive_train(wild, turn);
    const auto count = static_cast<std::uint32_t>(outbox.inners.size()) - first;
    if (count > 0) {
      outbox.delivers.push_back(
          Deliver{.slot = std::move(wild.slot), .first_inner = first, .inner_count = count});
    }
    wild.slot.reset();
  }
}

void Core::receive_train(Wild& wild, Turn& turn) noexcept {
  WG_ASSERT(wild.bytes <= wild.slot.bytes().size());
  const std::uint32_t stride = stride_of(wild);
  if (stride == 0) {
    return drops_.add(Drop::malformed);
  }
  const std::uint32_t segments = (wild.bytes - 1) / stride + 1;
  if (!link_up_) {
    return drops_.add(Drop::link_down, segments);
  }
  if (segments > received_segments_max || !wild.source.answerable()) {
    return drops_.add(Drop::malformed, segments);
  }
  if (segments > turn.outbox.inners.room()) {
    return drops_.add(Drop::no_buffer, segments);
  }
  wild.stride_bytes = stride;
  turn.source_is_proved = false;
  for (std::uint32_t offset = 0; offset < wild.bytes;) {
    const std::uint32_t size = std::min(stride, wild.bytes - offset);
    const MutableBytes datagram = wild.slot.bytes().subspan(offset, size);
    const MessageType type = classify(datagram);
    switch (type) {
      case MessageType::data:
        offset += receive_data_run(wild, offset, turn);
        continue;
      case MessageType::initiation:
      case MessageType::response:
      case MessageType::cookie_reply:
        queue_handshake(type, datagram, wild, turn);
        break;
      case MessageType::malformed:
        drops_.add(Drop::malformed);
        break;
    }
    offset += size;
  }
}

Keypair* Core::usable_for_receiving(std::uint32_t index, std::size_t packets, Instant now,
                                    KeypairId& id) noexcept {
  const auto found = indices_.find(index);
  if (!found || found->kind != IndexKind::keypair) {
    drops_.add(Drop::unknown_index, packets);
    return nullptr;
  }
  id = found->id;
  Keypair& keypair = keypairs_[id];
  keypair.receiving_valid = keypair.may_receive(now);
  if (!keypair.receiving_valid) {
    drops_.add(Drop::expired_key, packets);
    return nullptr;
  }
  return &keypair;
}

// Opens the data messages from `offset` on that name the same index; returns their bytes.
std::uint32_t Core::receive_data_run(Wild& wild, std::uint32_t offset, Turn& turn) noexcept {
  if (turn.opened != nullptr) {
    if (const OpenBatch::Opened* const run = turn.opened->take(wild, offset)) {
      receive_opened_run(*run, wild, turn);
      return run->end - offset;
    }
  }
  DataRun run;
  find_run(wild, offset, run);
  KeypairId id = no_keypair;
  Keypair* const keypair =
      usable_for_receiving(run.receiver_index, run.segments.size(), turn.now.boottime, id);
  if (keypair != nullptr) {
    const std::span<crypto::OpenSegment> segments{run.segments.begin(), run.segments.size()};
    setup_.aead->open(keypair->keys.receiving.view(), segments);
    receive_segments(id, segments, wild, turn);
  }
  return run.end - offset;
}

void Core::receive_segments(KeypairId id, std::span<const crypto::OpenSegment> run, Wild& wild,
                            Turn& turn) noexcept {
  Peer& peer = peers_[keypairs_[id].peer];
  for (const crypto::OpenSegment& segment : run) {
    if (!segment.opened) {
      drops_.add(Drop::bad_tag);
      continue;
    }
    receive_opened(peer, id, {segment.plain, segment.sealed_bytes - crypto::tag_bytes},
                   segment.counter, wild, turn);
  }
}

// Six parameters: what was proved about the packet, and where it came from.
// NOLINTNEXTLINE(readability-function-size)
void Core::receive_opened(Peer& peer, KeypairId id, MutableBytes plaintext, std::uint64_t counter,
                          Wild& wild, Turn& turn) noexcept {
  if (!keypairs_[id].window.accept(counter)) {
    return drops_.add(Drop::replayed);
  }
  turn.source_is_proved = true;
  move_endpoint(peer, wild.source, wild.destination, turn);
  const bool confirmed = keypairs_.confirm(peer.keypairs, id);
  if (confirmed) {
    handshake_complete(peer, turn);
  }
  keep_key_fresh_receiving(peer, turn);
  any_received(peer);
  traversal(peer, turn);
  if (confirmed) {
    send_staged(peer, turn);  // after any_received(): it starts the wait for an answer anew
  }
  if (plaintext.empty()) {
    peer.rx_bytes += DataLayout::overhead_bytes;
    return;
  }
  data_received(peer, turn);
  deliver_inner(peer, plaintext, wild, turn);
}

void Core::deliver_inner(Peer& peer, MutableBytes plaintext, Wild& wild, Turn& turn) noexcept {
  const auto inner = parse_incoming(plaintext);
  if (!inner) {
    return drops_.add(Drop::bad_inner);
  }
  const PeerId owner = inner->family == Family::v4 ? allowed_ips_.find_v4(inner->source)
                                                   : allowed_ips_.find_v6(inner->source);
  if (owner != peer.id) {
    return drops_.add(Drop::wrong_source);
  }
  const MutableBytes packet = plaintext.first(inner->bytes);
  ecn_decapsulate(packet, wild.ecn);
  peer.rx_bytes += plaintext.size() + DataLayout::overhead_bytes;
  InnerSink::from_peer(wild, packet, turn.outbox);
}

void Core::keep_key_fresh_receiving(Peer& peer, Turn& turn) noexcept {
  if (peer.sent_lastminute_handshake || peer.keypairs.current == no_keypair) {
    return;
  }
  const Keypair& keypair = keypairs_[peer.keypairs.current];
  if (keypair.sending_valid && keypair.role == Role::initiator &&
      keypair.birth + rekey_after_time_receiving <= turn.now.boottime) {
    peer.sent_lastminute_handshake = true;
    queue_initiation(peer, false, turn);
  }
}

// Section 17: the latest authentic packet wins, in either family.
void Core::move_endpoint(Peer& peer, const SocketAddress& source, const LocalSource& destination,
                         Turn& turn) noexcept {
  if (peer.endpoint.remote != source) {
    peer.endpoint.remote = source;
    handshakes_.know(source);
    turn.event(EventKind::endpoint_changed, peer.id);
  }
  peer.endpoint.source = destination;
}

}  // namespace wgring::noise
