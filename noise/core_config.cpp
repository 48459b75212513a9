// Configuration and life of peers (protocol section 19).
#include <algorithm>
#include <cerrno>

#include "noise/core.hpp"

namespace wgring::noise {

void Core::set_link(bool up, Now now, Outbox& outbox) noexcept {
  Turn turn = begin_turn(now, outbox);
  if (up != link_up_) {
    link_up_ = up;
    told_of_traffic_while_down_ = false;
    if (up) {
      peers_.for_each([this, &turn](Peer& peer) { start_peer(peer, turn); });
    } else {
      peers_.for_each([this](Peer& peer) { stop_peer(peer); });
      drops_.add(Drop::link_down, handshakes_.count());
      handshakes_.clear();
    }
  }
  end_turn(turn);
}

void Core::start_peer(Peer& peer, Turn& turn) noexcept {
  if (peer.persistent_keepalive_s != 0 && lives_here(peer)) {
    send_keepalive(peer, turn);
  }
}

void Core::stop_peer(Peer& peer) noexcept {
  drops_.add(Drop::staged_abandoned, peer.staged.clear(pools_));
  peer.keepalive_staged = false;
  peer.timers.cancel_all();
  deadlines_.remove(peer.id);
  drop_work(peer);
  zero_keys(peer);
  peer.last_sent_handshake = Instant::min();
  peer.handshake_attempts = 0;
  peer.need_another_keepalive = false;
  peer.sent_lastminute_handshake = false;
}

void Core::zero_keys(Peer& peer) noexcept {
  clear_handshake(peer);
  keypairs_.clear(peer.keypairs);
}

void Core::set_private_key(const crypto::Secret<32>& key, Now now, Outbox& outbox) noexcept {
  Turn turn = begin_turn(now, outbox);
  LocalIdentity wanted;
  if (!crypto::ct_is_zero(key.view())) {
    wanted.set(key);
  }
  const bool same = wanted.present() == identity_.present() &&
                    crypto::ct_equal(wanted.private_key().view(), identity_.private_key().view());
  if (same) {
    return end_turn(turn);
  }
  if (wanted.present()) {
    if (Peer* const self = peers_.find(wanted.public_key())) {
      remove_peer(*self);
    }
    identity_.set(key);
  } else {
    identity_.clear();
  }
  peers_.for_each([this](Peer& peer) {
    peer.remote.forget_static_static();
    clear_handshake(peer);
    peer.last_sent_handshake = Instant::min();  // may initiate at once
    for (const KeypairId id : {peer.keypairs.current, peer.keypairs.next}) {
      if (id != no_keypair) {
        keypairs_[id].sending_valid = false;  // receiving goes on
      }
    }
  });
  end_turn(turn);
}

void Core::send_all_staged(Now now, Outbox& outbox) noexcept {
  Turn turn = begin_turn(now, outbox);
  if (identity_.present()) {
    peers_.for_each([&](Peer& peer) { send_staged(peer, turn); });
  }
  end_turn(turn);
}

bool Core::reserve(std::uint32_t peers, std::uint32_t prefixes, Present present) noexcept {
  const std::uint32_t stay = present == Present::stays ? peers_.count() : 0;
  if (peers > peers_max - stay) {
    return false;
  }
  const std::uint32_t total = std::max(stay + peers, peers_.count());
  // Ids are handed out densely, so none in use reaches the number ever in use at once.
  const std::uint32_t highest_total = std::max(highest_total_, total);
  const PeerId highest = highest_total == 0 ? 0 : highest_total - 1;
  const bool there = peers_.ensure(total - peers_.count()) && indices_.ensure(4 * total) &&
                     keypairs_.ensure_total(3 * total) && deadlines_.ensure(highest_total) &&
                     (present == Present::stays ? allowed_ips_.ensure(prefixes, highest)
                                                : allowed_ips_.ensure_total(prefixes, highest));
  if (there) {
    highest_total_ = highest_total;
  }
  return there;
}

Status Core::apply_peer(const PeerUpdate& update, Now now, Outbox& outbox) noexcept {
  Turn turn = begin_turn(now, outbox);
  Peer* peer = peers_.find(update.public_key);
  // A peer with our own key is silently ignored; update_only and remove need one that is there.
  const bool ours = identity_.present() && update.public_key == identity_.public_key();
  if (ours || (peer == nullptr && (update.update_only || update.remove))) {
    end_turn(turn);
    return {};
  }
  if (update.remove) {
    remove_peer(*peer);
    end_turn(turn);
    return {};
  }
  // As many as the caller reserved for: a change that removes may not ask for more.
  const auto additions =
      std::ranges::count(update.allowed_ips, AllowedIpChange::Kind::add, &AllowedIpChange::kind);
  if (!reserve(peer == nullptr ? 1 : 0, static_cast<std::uint32_t>(additions), Present::stays)) {
    end_turn(turn);
    return fail(ENOMEM, "add a peer: 2^20 peers are the limit, or out of memory");
  }
  if (peer == nullptr) {
    peer = &peers_.insert(update.public_key);
    peer->shard = shard_of(update.public_key, setup_.shard_bits);
  }
  apply_fields(*peer, update, turn);
  end_turn(turn);
  return {};
}

void Core::apply_fields(Peer& peer, const PeerUpdate& update, Turn& turn) noexcept {
  if (update.preshared_key != nullptr) {
    peer.remote.preshared_key = update.preshared_key->clone();
  }
  if (update.endpoint) {
    peer.endpoint = Endpoint{.remote = *update.endpoint, .source = {}};
    handshakes_.know(*update.endpoint);
  }
  apply_prefixes(peer, update.allowed_ips);
  if (!update.more_allowed_ips) {
    remove_replaced(peer);
  }
  if (update.persistent_keepalive_s) {
    const bool starts = peer.persistent_keepalive_s == 0 && *update.persistent_keepalive_s != 0;
    peer.persistent_keepalive_s = *update.persistent_keepalive_s;
    if (starts && link_up_ && lives_here(peer)) {
      send_keepalive(peer, turn);
    }
  }
  send_staged(peer, turn);
}

// What is removed and added again is never gone, also by several updates: packets for it go on as
// before.
void Core::apply_prefixes(Peer& peer, std::span<const AllowedIpChange> changes) noexcept {
  for (const AllowedIpChange& change : changes) {
    switch (change.kind) {
      case AllowedIpChange::Kind::add:
        WG_ASSERT(allowed_ips_.insert(change.prefix, peer.id));  // reserved before
        if (setup_.prefixes.set != nullptr) {
          setup_.prefixes.set(setup_.prefixes.context, change.prefix, peer.shard);
        }
        break;
      case AllowedIpChange::Kind::remove:
        if (allowed_ips_.remove(change.prefix, peer.id)) {
          tell_cleared(change.prefix);
        }
        break;
      case AllowedIpChange::Kind::remove_all:
        remove_replaced(peer);
        allowed_ips_.begin_replacing(peer.id);
        break;
    }
  }
}

void Core::remove_replaced(const Peer& peer) noexcept {
  while (const std::optional<Prefix> removed = allowed_ips_.remove_replaced(peer.id)) {
    tell_cleared(*removed);
  }
}

void Core::remove_prefixes(const Peer& peer) noexcept {
  while (const std::optional<Prefix> removed = allowed_ips_.remove_oldest(peer.id)) {
    tell_cleared(*removed);
  }
}

void Core::tell_cleared(const Prefix& prefix) noexcept {
  if (setup_.prefixes.clear != nullptr) {
    setup_.prefixes.clear(setup_.prefixes.context, prefix);
  }
}

// Dies in three steps: no lookup finds it, what it holds goes home, its memory is wiped.
void Core::remove_peer(Peer& peer) noexcept {
  remove_prefixes(peer);
  stop_peer(peer);
  peers_.remove(peer);
}

bool Core::remove_peers(std::uint32_t peers_max_now) noexcept {
  for (std::uint32_t i = 0; i < peers_max_now && peers_.count() > 0; ++i) {
    remove_peer(peers_[peers_.oldest()]);
  }
  return peers_.count() == 0;
}

void Core::forget_sources() noexcept {
  peers_.for_each([](Peer& peer) { peer.endpoint.source = {}; });
}

void Core::forget_sources(const LocalSource& refused) noexcept {
  peers_.for_each([&refused](Peer& peer) {
    if (peer.endpoint.source == refused) {
      peer.endpoint.source = {};
    }
  });
}

void Core::forget_source(const PeerEndpoint& seen) noexcept {
  Peer* const peer = peers_.at(seen.peer_id, seen.serial);
  if (peer != nullptr && peer->endpoint.source == seen.endpoint.source) {
    peer->endpoint.source = {};
  }
}

bool Core::next_endpoint(std::uint64_t after_serial, PeerEndpoint& found) const noexcept {
  const Peer* const peer = peers_.after(after_serial);
  if (peer != nullptr) {
    found = {.serial = peer->serial, .peer_id = peer->id, .endpoint = peer->endpoint};
  }
  return peer != nullptr;
}

bool Core::next_peer(std::uint64_t after_serial, PeerStatus& status) const noexcept {
  const Peer* const peer = peers_.after(after_serial);
  if (peer == nullptr) {
    return false;
  }
  status = PeerStatus{.serial = peer->serial,
                      .public_key = peer->remote.public_key,
                      .preshared_key = peer->remote.preshared_key.clone(),
                      .endpoint = peer->endpoint,
                      .last_handshake = peer->last_handshake,
                      .rx_bytes = peer->rx_bytes,
                      .tx_bytes = peer->tx_bytes,
                      .persistent_keepalive_s = peer->persistent_keepalive_s,
                      .prefix_count = allowed_ips_.prefix_count(peer->id),
                      .shard = peer->shard};
  return true;
}

}  // namespace wgring::noise
