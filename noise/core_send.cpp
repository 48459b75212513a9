// Sending (protocol section 11):
//   1 destination -> peer, else refuse with ICMP
//   2 a super-packet is cut, one segment at a time: each is sealed before the next is made
//   3 no usable key: stage the packet, ask for a handshake
//   4 nonce, padding, a place in the peer's train, seal out of place
//   5 timers once per run, then see whether the key is still fresh
#include <utility>

#include "noise/constants.hpp"
#include "noise/icmp.hpp"
#include "noise/inner.hpp"
#include "noise/inner_sink.hpp"
#include "noise/messages.hpp"
#include "noise/seal_run.hpp"
#include "noise/split.hpp"

namespace wgring::noise {
namespace {

// What one segment of a super-packet carries beside its payload: inner headers, ours, padding.
constexpr std::size_t segment_overhead_bytes_max =
    Splitter::headers_bytes_max + DataLayout::overhead_bytes + padding_multiple;

}  // namespace

std::size_t Core::on_tun(std::span<const Plain> batch, Now now, Outbox& outbox) noexcept {
  WG_ASSERT(batch.size() <= plain_batch_max);
  Turn turn = begin_turn(now, outbox);
  SealBatch* divided = nullptr;
  if (const std::size_t bytes = bytes_to_divide(batch); bytes > 0) {
    divided = &seal_batch_;
    divided->begin(bytes, setup_.runner.threads);
  }
  std::size_t taken = 0;
  {
    SealRun run(*this, turn, divided);
    while (taken < batch.size() && (taken == 0 || fits_turn(batch[taken], turn))) {
      send_plain(batch[taken], run, turn);
      taken += 1;
    }
    run.finish();
  }
  if (divided != nullptr) {  // before anything can end a session
    divided->run(*setup_.aead, setup_.runner);
  }
  end_turn(turn);
  return taken;
}

// Trains that a packet may need. More than there are left: what is in the outbox goes first.
bool Core::fits_turn(const Plain& packet, const Turn& turn) const noexcept {
  std::size_t trains = 1;
  if (const std::uint32_t payload = packet.offload.segment_bytes; payload > 0) {
    // A segment is at least its payload and the fixed headers; a train ends by count or by bytes.
    const std::size_t segments = packet.bytes / payload + 1;
    const std::size_t bytes = packet.bytes + segments * segment_overhead_bytes_max;
    trains += segments / train_segments_max + bytes / (train_bytes_max / 2);
  }
  return trains <= turn.trains.room() && trains <= pools_.trains->available();
}

void Core::send_plain(const Plain& packet, SealRun& run, Turn& turn) noexcept {
  if (!link_up_) {
    if (!std::exchange(told_of_traffic_while_down_, true)) {
      turn.event(EventKind::traffic_while_down, no_peer);
    }
    return drops_.add(Drop::link_down);
  }
  const auto inner = parse_outgoing(Bytes{packet.data, packet.bytes});
  if (!inner) {
    return drops_.add(Drop::bad_inner);
  }
  const PeerId id = inner->family == Family::v4 ? allowed_ips_.find_v4(inner->destination)
                                                : allowed_ips_.find_v6(inner->destination);
  if (id == no_peer) {
    return refuse(Drop::no_route, packet, turn);
  }
  Peer& peer = peers_[id];
  if (!lives_here(peer)) {
    return hand_over(packet, peer, turn);
  }
  if (!peer.endpoint.remote.is_set()) {
    return refuse(Drop::no_endpoint, packet, turn);
  }
  const std::uint8_t ecn = ecn_encapsulate(inner->traffic_class);
  if (packet.offload.plain()) {
    return send_one(peer, packet, ecn, run, turn);
  }
  send_split(peer, packet, ecn, run, turn);
}

void Core::send_split(Peer& peer, const Plain& packet, std::uint8_t ecn, SealRun& run,
                      Turn& turn) noexcept {
  auto splitter = Splitter::open(MutableBytes{packet.data, packet.bytes}, packet.offload);
  if (!splitter) {
    return refuse(Drop::bad_inner, packet, turn);
  }
  const bool waits = !peer.staged.empty() || peer.keepalive_staged;
  if (run.is_divided() && !waits && run.add_divided(peer, *splitter, ecn)) {
    return;
  }
  while (!splitter->done()) {
    const MutableBytes segment = splitter->next();
    const auto bytes = static_cast<std::uint32_t>(segment.size());
    send_one(peer, Plain{.data = segment.data(), .bytes = bytes, .offload = {}}, ecn, run, turn);
    run.seal();
  }
}

void Core::send_one(Peer& peer, const Plain& packet, std::uint8_t ecn, SealRun& run,
                    Turn& turn) noexcept {
  if (!peer.staged.empty() || peer.keepalive_staged) {  // those before this one go first
    stage(peer, packet);
    return send_staged(peer, turn);
  }
  switch (run.add(peer, packet.data, packet.bytes, ecn)) {
    case SealRun::Added::yes:
      return;
    case SealRun::Added::no_key:
      stage(peer, packet);
      return queue_initiation(peer, false, turn);
    case SealRun::Added::no_buffer:
      return drops_.add(Drop::no_buffer);
    case SealRun::Added::too_long:
      return drops_.add(Drop::too_long);
  }
}

// Handed to us and not ours: the prefix is moving, and one of us does not know it yet. Handed on it
// might go round for as long as that takes.
void Core::hand_over(const Plain& packet, const Peer& peer, Turn& turn) noexcept {
  if (packet.handed) {
    return drops_.add(Drop::no_route);
  }
  turn.outbox.handed_plains.push_back({.packet = packet, .shard = peer.shard});
}

// Section 16: the sender is told; the error never leaves this host.
void Core::refuse(Drop reason, const Plain& packet, Turn& turn) noexcept {
  drops_.add(reason);
  if (turn.outbox.delivers.room() == 0 || turn.outbox.inners.room() == 0 ||
      !icmp_errors_.take(turn.now.boottime)) {
    return;
  }
  Slot slot = pools_.packets->take();
  if (!slot) {
    return;
  }
  const std::size_t bytes = build_unreachable(slot.bytes().subspan(inner_headroom_bytes),
                                              Bytes{packet.data, packet.bytes});
  if (bytes > 0) {
    InnerSink::from_us(std::move(slot), bytes, turn.outbox);
  }
}

void Core::stage(Peer& peer, const Plain& packet) noexcept {
  drops_.add(Drop::staged_overflow, peer.staged.push(packet, pools_));
}

Keypair* Core::usable_for_sending(Peer& peer, Instant now) noexcept {
  if (peer.keypairs.current == no_keypair) {
    return nullptr;
  }
  Keypair& keypair = keypairs_[peer.keypairs.current];
  if (keypair.expired(now) || keypair.sending_counter >= reject_after_messages) {
    keypair.sending_valid = false;
  }
  return keypair.sending_valid ? &keypair : nullptr;
}

void Core::send_staged(Peer& peer, Turn& turn) noexcept {
  if (!link_up_ || (peer.staged.empty() && !peer.keepalive_staged)) {
    return;
  }
  if (usable_for_sending(peer, turn.now.boottime) == nullptr) {
    return queue_initiation(peer, false, turn);
  }
  if (!flush(peer, turn)) {
    peer.wants_flush = true;
    add_work(peer);
  }
}

void Core::send_keepalive(Peer& peer, Turn& turn) noexcept {
  peer.keepalive_staged = peer.keepalive_staged || peer.staged.empty();
  send_staged(peer, turn);
}

// Sends what is staged. False: no room this turn, what is left keeps its order.
bool Core::flush(Peer& peer, Turn& turn) noexcept {
  if (!peer.endpoint.remote.is_set()) {
    peer.keepalive_staged = false;
    drops_.add(Drop::no_endpoint, peer.staged.clear(pools_));
    return true;
  }
  SealRun run(*this, turn);
  FixedVector<Staged, train_segments_max> held;  // bytes must live until finish()
  ByteArray<plain_tailroom_bytes> nothing{};
  bool room = true;
  bool key = true;
  while (room && key && (peer.keepalive_staged || !peer.staged.empty())) {
    if (run.full() || held.room() == 0) {
      run.finish();
      held.clear();
    }
    // Looked at before one is taken: a packet without a place stays the oldest.
    room = turn.trains.room() > 0 && pools_.trains->available() > 0;
    key = usable_for_sending(peer, turn.now.boottime) != nullptr;
    if (room && key && std::exchange(peer.keepalive_staged, false)) {
      static_cast<void>(run.add(peer, nothing.data(), 0, 0));
    } else if (room && key) {
      const Staged& packet = held.push_back(peer.staged.pop(pools_));
      const auto inner = parse_outgoing(Bytes{packet.data, packet.bytes});
      const std::uint8_t ecn = ecn_encapsulate(inner ? inner->traffic_class : std::uint8_t{0});
      if (run.add(peer, packet.data, packet.bytes, ecn) != SealRun::Added::yes) {
        drops_.add(Drop::too_long);
      }
    }
  }
  run.finish();
  if (!key) {
    queue_initiation(peer, false, turn);
  }
  return room || !key;  // without a key there is nothing to wait for: the next session flushes
}

void Core::keep_key_fresh_sending(Peer& peer, Turn& turn) noexcept {
  if (peer.keypairs.current == no_keypair) {
    return;
  }
  const Keypair& keypair = keypairs_[peer.keypairs.current];
  const bool old =
      keypair.role == Role::initiator && keypair.birth + rekey_after_time <= turn.now.boottime;
  if (keypair.sending_valid && (keypair.sending_counter > rekey_after_messages || old)) {
    queue_initiation(peer, false, turn);
  }
}

// --- SealRun ---

void SealRun::select(Peer& peer) noexcept {
  if (peer_ != &peer || full()) {
    finish();
    peer_ = &peer;
    keypair_ = core_.usable_for_sending(peer, turn_.now.boottime);
  }
}

SealRun::Added SealRun::add(Peer& peer, std::uint8_t* data, std::uint32_t bytes,
                            std::uint8_t ecn) noexcept {
  select(peer);
  if (keypair_ == nullptr || keypair_->sending_counter >= reject_after_messages) {
    return Added::no_key;
  }
  crypto::SealSegment segment;
  const Added added = place(peer, bytes, ecn, segment);
  if (added == Added::yes) {
    segment.plain = data;
    fill_zero({data + bytes, segment.plain_bytes - bytes});
    segments_.push_back(segment);
  }
  return added;
}

void SealRun::seal() noexcept {
  if (segments_.empty()) {
    return;
  }
  core_.setup_.aead->seal(keypair_->keys.sending.view(), std::span<const crypto::SealSegment>{
                                                             segments_.begin(), segments_.size()});
  segments_.clear();
  untold_ = true;
}

void SealRun::hand_over() noexcept {
  if (batch_ == nullptr || segments_.empty()) {
    return seal();
  }
  make_room(segments_.size());
  batch_->add(keypair_->keys.sending.view(), {segments_.begin(), segments_.size()});
  segments_.clear();
  untold_ = true;
}

void SealRun::finish() noexcept {
  hand_over();
  if (!std::exchange(untold_, false)) {
    return;
  }
  core_.traversal(*peer_, turn_);
  core_.any_sent(*peer_);
  if (std::exchange(carries_data_, false)) {
    core_.data_sent(*peer_, turn_);
  }
  core_.keep_key_fresh_sending(*peer_, turn_);
}

}  // namespace wgring::noise
