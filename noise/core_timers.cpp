// Timers: events arm and cancel them, expiries act (protocol sections 14.2 and 14.3).
#include "noise/core.hpp"

namespace wgring::noise {

// Uniform in [0, 1/3 s). A small generator of its own (SplitMix64): jitter is no secret, and the
// system's randomness costs a call per packet batch.
Duration Core::jitter() noexcept {
  jitter_state_ += 0x9e37'79b9'7f4a'7c15ULL;
  std::uint64_t mixed = jitter_state_;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58'476d'1ce4'e5b9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d0'49bb'1331'11ebULL;
  mixed ^= mixed >> 31;
  return Duration{static_cast<std::int64_t>(
      mixed % static_cast<std::uint64_t>(rekey_timeout_jitter_max.count()))};
}

void Core::arm(Peer& peer, Timer timer, Instant at) noexcept {
  if (!link_up_) {
    return;
  }
  peer.timers.arm(timer, at);
  // Later is left to settle_deadlines(): most timers are moved again before they come due.
  if (at < deadlines_.at(peer.id)) {
    deadlines_.set(peer.id, at);
  }
}

// Makes the top of the heap exact, so that nothing wakes for a timer that was cancelled. Bounded:
// a top that is left early wakes us early, and the next turn goes on from there.
void Core::settle_deadlines() noexcept {
  constexpr int peers_per_turn = 256;
  for (int i = 0; i < peers_per_turn && !deadlines_.empty(); ++i) {
    const PeerId id = deadlines_.top_id();
    const Instant due = peers_[id].timers.earliest();
    if (due == deadlines_.top_at()) {
      return;
    }
    deadlines_.set(id, due);
  }
}

// --- events (14.2) ---

void Core::data_sent(Peer& peer, Turn& turn) noexcept {
  data_until_ = turn.now.boottime + data_holds;
  if (!peer.timers.pending(Timer::new_handshake)) {
    arm(peer, Timer::new_handshake,
        turn.now.boottime + keepalive_timeout + rekey_timeout + jitter());
  }
}

void Core::data_received(Peer& peer, Turn& turn) noexcept {
  data_until_ = turn.now.boottime + data_holds;
  if (!peer.timers.pending(Timer::send_keepalive)) {
    arm(peer, Timer::send_keepalive, turn.now.boottime + keepalive_timeout);
  } else {
    peer.need_another_keepalive = true;
  }
}

void Core::any_sent(Peer& peer) noexcept { peer.timers.cancel(Timer::send_keepalive); }

void Core::any_received(Peer& peer) noexcept { peer.timers.cancel(Timer::new_handshake); }

void Core::handshake_initiated(Peer& peer, Turn& turn) noexcept {
  arm(peer, Timer::retransmit_handshake, turn.now.boottime + rekey_timeout + jitter());
  turn.event(EventKind::handshake_initiated, peer.id);
}

void Core::handshake_complete(Peer& peer, Turn& turn) noexcept {
  // Our key may have changed meanwhile: then another is still wanted.
  if (usable_for_sending(peer, turn.now.boottime) != nullptr) {
    peer.timers.cancel(Timer::retransmit_handshake);
    unwant_initiation(peer);
    peer.handshake_attempts = 0;
  }
  peer.sent_lastminute_handshake = false;
  peer.last_handshake = turn.now.realtime;
  turn.event(EventKind::handshake_completed, peer.id);
}

void Core::session_derived(Peer& peer, Turn& turn) noexcept {
  arm(peer, Timer::zero_key_material, turn.now.boottime + zero_key_time);
  handshakes_.know(peer.endpoint.remote);  // again: another may have had its place
}

void Core::traversal(Peer& peer, Turn& turn) noexcept {
  if (peer.persistent_keepalive_s != 0) {
    arm(peer, Timer::persistent_keepalive,
        turn.now.boottime + std::chrono::seconds{peer.persistent_keepalive_s});
  }
}

// --- expiries (14.3) ---

void Core::run_timers(Peer& peer, Turn& turn) noexcept {
  const Instant now = turn.now.boottime;
  if (peer.timers.take_due(Timer::retransmit_handshake, now)) {
    retransmit_expired(peer, turn);
  }
  if (peer.timers.take_due(Timer::send_keepalive, now)) {
    send_keepalive(peer, turn);
    if (peer.need_another_keepalive) {
      peer.need_another_keepalive = false;
      arm(peer, Timer::send_keepalive, now + keepalive_timeout);
    }
  }
  if (peer.timers.take_due(Timer::new_handshake, now)) {
    peer.endpoint.source = {};
    queue_initiation(peer, false, turn);
  }
  zero_overdue_keys(peer, turn);
  if (peer.timers.take_due(Timer::persistent_keepalive, now) && peer.persistent_keepalive_s != 0) {
    send_keepalive(peer, turn);
  }
}

// Before a new handshake, too: the host slept, packets come before on_deadline(), and fired later
// it would take that along with the old keys, or be put off by it.
void Core::zero_overdue_keys(Peer& peer, Turn& turn) noexcept {
  if (peer.timers.take_due(Timer::zero_key_material, turn.now.boottime)) {
    zero_keys(peer);
    turn.event(EventKind::keys_zeroed, peer.id);
  }
}

void Core::retransmit_expired(Peer& peer, Turn& turn) noexcept {
  if (peer.handshake_attempts > timer_handshakes_max) {
    peer.timers.cancel(Timer::send_keepalive);
    peer.keepalive_staged = false;
    drops_.add(Drop::staged_abandoned, peer.staged.clear(pools_));
    if (!peer.timers.pending(Timer::zero_key_material)) {
      arm(peer, Timer::zero_key_material, turn.now.boottime + zero_key_time);
    }
    turn.event(EventKind::handshake_gave_up, peer.id);
    return;
  }
  peer.handshake_attempts += 1;
  peer.endpoint.source = {};
  queue_initiation(peer, true, turn);
}

}  // namespace wgring::noise
