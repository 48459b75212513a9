// Handshakes (protocol sections 6 and 9): messages wait in a queue whose length is "under load";
// a bounded number is processed per turn. Both directions of each message are here.
#include "noise/core.hpp"
#include "noise/messages.hpp"

namespace wgring::noise {

// --- admission: who is expected, mac1, load, mac2, rate limit ---

// What answers nothing of ours is dropped here, and who speaks in the name of a known source, or
// to a known index, without knowing our key: neither takes a place of those who do. Nor are
// strangers heard whose initiation came around the door (ADR 12), but for broadcasts.
void Core::queue_handshake(MessageType type, Bytes message, const Wild& wild, Turn& turn) noexcept {
  bool expected = true;
  if (type == MessageType::response) {
    const auto found = indices_.find(load_le32(&message[ResponseLayout::receiver_index]));
    if (!found || found->kind != IndexKind::handshake) {
      return drops_.add(Drop::unknown_index);
    }
  } else if (type == MessageType::cookie_reply) {
    if (peer_of_index(load_le32(&message[CookieReplyLayout::receiver_index])) == nullptr) {
      return drops_.add(Drop::bad_cookie_reply);
    }
  } else {
    if (turn.source_is_proved) {
      handshakes_.know(wild.source);  // another may have taken its place
    }
    expected = handshakes_.knows(wild.source);
    if (!expected && !wild.to_many && turn.now.boottime >= door_from_) {
      return drops_.add(Drop::around_door);
    }
  }
  if (expected && type != MessageType::cookie_reply) {
    if (!identity_.present()) {
      return drops_.add(Drop::no_identity);
    }
    if (!mac1_valid(message, identity_)) {
      return drops_.add(Drop::bad_mac1);
    }
  }
  if (!handshakes_.push(expected, message, wild.source, wild.destination)) {
    drops_.add(Drop::handshake_queue_full);
  }
}

void Core::process_handshakes(Turn& turn) noexcept {
  for (std::uint32_t i = 0; i < handshake_messages_per_turn && !handshakes_.empty(); ++i) {
    // One of the shares is kept for initiations of our own: those of others never starve them.
    const std::uint32_t kept = initiations_wanted_ > 0 ? 1 : 0;
    if (turn.handshakes_left <= kept || turn.trains.room() == 0) {
      return;
    }
    if (!may_process_handshake(turn.now.boottime)) {
      return;
    }
    const bool under_load = handshakes_.under_load(turn.now.boottime);
    process_handshake(handshakes_.front(), under_load, turn);
    handshakes_.pop();
  }
}

// Data has the larger part of the time.
bool Core::may_process_handshake(Instant now) noexcept {
  if (now >= data_until_ || handshakes_beside_data_.take(now)) {
    return true;
  }
  handshakes_next_ = now + std::chrono::milliseconds{1};
  return false;
}

void Core::process_handshake(const QueuedHandshake& queued, bool under_load, Turn& turn) noexcept {
  if (!identity_.present()) {
    return drops_.add(Drop::no_identity);
  }
  const MessageType type = classify(queued.view());
  if (type == MessageType::cookie_reply) {
    return receive_cookie_reply(queued, turn);
  }
  if (!queued.admitted && !admit(queued, under_load, turn)) {
    return;
  }
  turn.handshakes_left -= 1;
  if (type == MessageType::initiation) {
    receive_initiation(queued, turn);
  } else {
    receive_response(queued, turn);
  }
}

bool Core::admit(const QueuedHandshake& queued, bool under_load, Turn& turn) noexcept {
  if (!mac1_valid(queued.view(), identity_)) {
    drops_.add(Drop::bad_mac1);
    return false;
  }
  const Instant now = turn.now.boottime;
  if (!under_load && (!beside_data() || cookieless_beside_data_.take(now))) {
    return true;  // mac2 is not looked at
  }
  ByteArray<CookieReplyLayout::size> reply{};
  const std::optional<Drop> refused =
      cookies_.refuse(queued.view(), queued.source, identity_.mac_keys(), now, reply);
  if (!refused) {
    return true;
  }
  if (*refused != Drop::cookie_sent) {
    drops_.add(*refused);
    return false;
  }
  // Straight back to where it came from; no peer's endpoint is read or changed.
  const Endpoint back{.remote = queued.source, .source = queued.destination};
  const MutableBytes out = turn.trains.message(back, CookieReplyLayout::size, 0);
  if (out.empty()) {
    drops_.add(Drop::no_buffer);
    return false;
  }
  copy_bytes(out, reply);
  drops_.add(Drop::cookie_sent);
  return false;
}

// --- initiation ---

// Those that the door or another shard let in: mac1 was right, load and cookie were its affair.
void Core::on_initiations(std::span<const HandedInitiation> batch, Now now,
                          Outbox& outbox) noexcept {
  Turn turn = begin_turn(now, outbox);
  for (const HandedInitiation& handed : batch) {
    if (!link_up_) {
      drops_.add(Drop::link_down);
    } else if (!handshakes_.push_admitted(handed.message, handed.source, handed.destination)) {
      drops_.add(Drop::handshake_queue_full);
    }
  }
  end_turn(turn);
}

void Core::queue_initiation(Peer& peer, bool is_retry, Turn& turn) noexcept {
  if (!is_retry) {
    peer.handshake_attempts = 0;
  }
  if (peer.last_sent_handshake + rekey_timeout <= turn.now.boottime) {
    want_initiation(peer);
  } else if (is_retry) {
    hold_back(peer);
  }
}

// A response of ours went out less than 5 s ago, or this initiation could not be made. The kernel
// forgets a retry then; to try again is kinder (protocol 14.4, 24.8).
void Core::hold_back(Peer& peer) noexcept {
  arm(peer, Timer::retransmit_handshake, peer.last_sent_handshake + rekey_timeout + jitter());
}

void Core::send_initiation(Peer& peer, Turn& turn) noexcept {
  const Instant now = turn.now.boottime;
  if (!link_up_ || !peer.endpoint.remote.is_set()) {
    return;
  }
  if (peer.last_sent_handshake + rekey_timeout > now) {
    return hold_back(peer);  // it waited for its turn, and the response came first
  }
  turn.handshakes_left -= 1;
  zero_overdue_keys(peer, turn);
  if (!identity_.present()) {
    return drops_.add(Drop::no_identity);
  }
  if (peer.remote.static_static(identity_) == nullptr) {
    // A low-order key: silent for ever, and what waits for it keeps a place from others.
    drops_.add(Drop::staged_abandoned, peer.staged.clear(pools_));
    peer.keepalive_staged = false;
    return drops_.add(Drop::bad_handshake);
  }
  ByteArray<InitiationLayout::size> message{};
  peer.last_sent_handshake = now;
  if (!draw_handshake_index(peer)) {
    hold_back(peer);
    return drops_.add(Drop::no_entropy);
  }
  if (!peer.handshake.create_initiation(message, *peer.handshake_index, identity_, peer.remote,
                                        turn.now.realtime, setup_.entropy)) {
    clear_handshake(peer);
    hold_back(peer);
    return drops_.add(Drop::no_entropy);
  }
  peer.cookie_jar.add_macs(message, peer.remote, now);
  traversal(peer, turn);
  any_sent(peer);
  const MutableBytes out =
      turn.trains.message(peer.endpoint, InitiationLayout::size, handshake_traffic_class);
  if (out.empty()) {
    drops_.add(Drop::no_buffer);  // the retry timer brings the next one
  } else {
    copy_bytes(out, message);
    peer.tx_bytes += message.size();
  }
  handshake_initiated(peer, turn);
}

void Core::receive_initiation(const QueuedHandshake& queued, Turn& turn) noexcept {
  const auto message = fixed<InitiationLayout::size>(queued.view());
  auto opened = open_initiation(message, identity_);
  Peer* const peer = opened ? peers_.find(opened->initiator()) : nullptr;
  if (peer != nullptr && !lives_here(*peer)) {
    return hand_over(queued, *peer, turn);
  }
  if (peer != nullptr) {
    zero_overdue_keys(*peer, turn);
  }
  const bool crosses =
      peer != nullptr && peer->handshake.state() == HandshakeState::created_initiation;
  if (peer == nullptr || !peer->handshake.accept_initiation(std::move(*opened), identity_,
                                                            peer->remote, turn.now.boottime)) {
    return drops_.add(Drop::bad_handshake);
  }
  // The slot held another exchange until now; its index dies with it.
  if (peer->handshake_index) {
    indices_.remove(*peer->handshake_index);
    peer->handshake_index.reset();
  }
  move_endpoint(*peer, queued.source, queued.destination, turn);
  send_response(*peer, turn);
  if (crosses) {
    // Both ends will refuse both answers, and under traffic ask again as soon as the limit of five
    // seconds is over: at once again, for ever. Jitter breaks the tie (protocol section 9).
    peer->last_sent_handshake += jitter();
  }
  peer->rx_bytes += queued.bytes;
  any_received(*peer);
  traversal(*peer, turn);
}

void Core::hand_over(const QueuedHandshake& initiation, const Peer& peer, Turn& turn) noexcept {
  turn.outbox.handed_initiations.push_back({.message = initiation.message,
                                            .source = initiation.source,
                                            .destination = initiation.destination,
                                            .shard = peer.shard});
}

// --- response ---

void Core::send_response(Peer& peer, Turn& turn) noexcept {
  ByteArray<ResponseLayout::size> message{};
  peer.last_sent_handshake = turn.now.boottime;
  if (!draw_handshake_index(peer)) {
    return drops_.add(Drop::no_entropy);
  }
  if (!peer.handshake.create_response(message, *peer.handshake_index, peer.remote,
                                      setup_.entropy)) {
    clear_handshake(peer);
    return drops_.add(Drop::no_entropy);
  }
  peer.cookie_jar.add_macs(message, peer.remote, turn.now.boottime);
  if (!begin_session(peer, Role::responder, turn.now.boottime)) {
    return drops_.add(Drop::no_buffer);
  }
  session_derived(peer, turn);
  traversal(peer, turn);
  any_sent(peer);
  const MutableBytes out =
      turn.trains.message(peer.endpoint, ResponseLayout::size, handshake_traffic_class);
  if (out.empty()) {
    return drops_.add(Drop::no_buffer);
  }
  copy_bytes(out, message);
  peer.tx_bytes += message.size();
}

void Core::receive_response(const QueuedHandshake& queued, Turn& turn) noexcept {
  const auto message = fixed<ResponseLayout::size>(queued.view());
  const auto found = indices_.find(load_le32(message.data() + ResponseLayout::receiver_index));
  if (!found || found->kind != IndexKind::handshake) {
    return drops_.add(Drop::unknown_index);
  }
  Peer& peer = peers_[found->id];
  zero_overdue_keys(peer, turn);
  if (!peer.handshake.consume_response(message, identity_, peer.remote)) {
    return drops_.add(Drop::bad_handshake);
  }
  move_endpoint(peer, queued.source, queued.destination, turn);
  peer.rx_bytes += queued.bytes;
  const bool begun = begin_session(peer, Role::initiator, turn.now.boottime);
  if (begun) {
    session_derived(peer, turn);
    handshake_complete(peer, turn);
  }
  any_received(peer);
  traversal(peer, turn);
  if (begun) {
    // After any_received(): what is sent here starts the wait for an answer anew.
    send_keepalive(peer, turn);  // or what is staged: either confirms the key
  }
}

// --- cookie reply ---

void Core::receive_cookie_reply(const QueuedHandshake& queued, Turn& turn) noexcept {
  const auto message = fixed<CookieReplyLayout::size>(queued.view());
  Peer* const peer = peer_of_index(load_le32(message.data() + CookieReplyLayout::receiver_index));
  if (peer == nullptr ||
      !peer->cookie_jar.consume_reply(message, peer->remote, turn.now.boottime)) {
    return drops_.add(Drop::bad_cookie_reply);
  }
  turn.event(EventKind::cookie_received, peer->id);
}

Peer* Core::peer_of_index(std::uint32_t index) noexcept {
  const auto found = indices_.find(index);
  if (!found) {
    return nullptr;
  }
  return &peers_[found->kind == IndexKind::handshake ? found->id : keypairs_[found->id].peer];
}

// --- sessions and indices ---

// The handshake's index becomes the keypair's; the slot is wiped.
bool Core::begin_session(Peer& peer, Role role, Instant now) noexcept {
  WG_ASSERT(peer.handshake_index.has_value());
  const std::uint32_t remote_index = peer.handshake.remote_index();
  Keypair session{peer.handshake.begin_session(), peer.id, role, now};
  session.local_index = *peer.handshake_index;
  session.remote_index = remote_index;
  const KeypairId fresh = keypairs_.create(std::move(session));
  if (fresh == no_keypair) {
    clear_handshake(peer);
    return false;
  }
  peer.handshake_index.reset();
  if (role == Role::initiator) {
    keypairs_.install_as_initiator(peer.keypairs, fresh);
  } else {
    keypairs_.install_as_responder(peer.keypairs, fresh);
  }
  return true;
}

// A new index for the message about to be made; the slot's old one is dropped (section 8).
bool Core::draw_handshake_index(Peer& peer) noexcept {
  const auto fresh = indices_.insert(setup_.entropy, {.kind = IndexKind::handshake, .id = peer.id},
                                     setup_.shard, setup_.shard_bits);
  if (!fresh) {
    return false;
  }
  if (peer.handshake_index) {
    indices_.remove(*peer.handshake_index);
  }
  peer.handshake_index = fresh;
  return true;
}

void Core::clear_handshake(Peer& peer) noexcept {
  peer.handshake.clear();
  if (peer.handshake_index) {
    indices_.remove(*peer.handshake_index);
    peer.handshake_index.reset();
  }
}

}  // namespace wgring::noise
