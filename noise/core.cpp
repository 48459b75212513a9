#include "noise/core.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace wgring::noise {

Core::Core(const DeviceSetup& setup) noexcept
    : setup_(setup),
      pools_{.trains = setup.train_pool, .packets = setup.packet_pool},
      now_(setup.now) {}

Core::~Core() {
  peers_.for_each([this](Peer& peer) { remove_peer(peer); });
}

Status Core::open() noexcept {
  WG_ASSERT(setup_.train_pool->slot_bytes() >= train_bytes_max + plain_tailroom_bytes);
  WG_ASSERT(setup_.packet_pool->slot_bytes() >= 2048);
  const MemorySource& memory = setup_.memory;
  // Per peer: an index for the handshake and one for each of three keypairs.
  const bool room = indices_.open(memory, 4 * peers_max) && keypairs_.open(memory, 3 * peers_max) &&
                    allowed_ips_.open(memory, 4 * peers_max, peers_max) &&
                    deadlines_.open(memory, peers_max);
  if (!room) {
    return fail(ENOMEM,
                "reserve address space for the peer tables: lower vm.overcommit or ulimit -v");
  }
  ByteArray<8> seed{};
  if (!peers_.open(memory, setup_.entropy, peers_max) || !cookies_.open(memory) ||
      !handshakes_.open(memory, setup_.entropy) || !setup_.entropy(seed)) {
    return fail(ENOMEM, "open the peer tables: out of memory or no system randomness");
  }
  jitter_state_ = load_le64(seed.data());
  return {};
}

Turn Core::begin_turn(Now now, Outbox& outbox) noexcept {
  WG_ASSERT(outbox.empty());
  WG_ASSERT(now.boottime >= now_.boottime);
  now_ = now;
  turn_number_ += 1;
  return Turn{now, outbox, pools_, turn_number_};
}

void Core::end_turn(Turn& turn) noexcept {
  process_handshakes(turn);
  drain_work(turn);
  settle_deadlines();
  cookies_.collect(turn.now.boottime);
}

void Core::on_deadline(Now now, Outbox& outbox) noexcept {
  Turn turn = begin_turn(now, outbox);
  // A timer may cost an initiation; those beyond the turn's share stay on the work list.
  constexpr std::uint32_t peers_per_turn = 256;
  for (std::uint32_t i = 0; i < peers_per_turn && !deadlines_.empty(); ++i) {
    if (deadlines_.top_at() > now.boottime) {
      break;
    }
    Peer& peer = peers_[deadlines_.top_id()];
    run_timers(peer, turn);
    deadlines_.set(peer.id, peer.timers.earliest());
  }
  end_turn(turn);
}

Deadline Core::next_deadline() const noexcept {
  const Deadline waiting{.at = std::max(now_.boottime, handshakes_next_),
                         .reason = DeadlineReason::handshake_queue};
  if (!handshakes_.empty() && waiting.at == now_.boottime) {
    return waiting;
  }
  // A flush that waits for a train goes on when one comes back, which wakes us by itself.
  const bool flushes = work_first_ != no_peer && pools_.trains->available() > 0;
  if (initiations_wanted_ > 0 || flushes) {
    return {.at = now_.boottime, .reason = DeadlineReason::backlog};
  }
  const Deadline timer = deadlines_.empty()
                             ? Deadline{}
                             : Deadline{.at = deadlines_.top_at(), .reason = DeadlineReason::timer};
  return !handshakes_.empty() && waiting.at < timer.at ? waiting : timer;
}

void Core::add_work(Peer& peer) noexcept {
  if (peer.on_work_list) {
    return;
  }
  peer.on_work_list = true;
  peer.work_before = work_last_;
  peer.work_after = no_peer;
  (work_last_ == no_peer ? work_first_ : peers_[work_last_].work_after) = peer.id;
  work_last_ = peer.id;
}

void Core::want_initiation(Peer& peer) noexcept {
  initiations_wanted_ += std::exchange(peer.wants_initiation, true) ? 0U : 1U;
  add_work(peer);
}

void Core::unwant_initiation(Peer& peer) noexcept {
  initiations_wanted_ -= std::exchange(peer.wants_initiation, false) ? 1U : 0U;
}

void Core::drop_work(Peer& peer) noexcept {
  unwant_initiation(peer);
  peer.wants_flush = false;
  if (!peer.on_work_list) {
    return;
  }
  peer.on_work_list = false;
  (peer.work_before == no_peer ? work_first_ : peers_[peer.work_before].work_after) =
      peer.work_after;
  (peer.work_after == no_peer ? work_last_ : peers_[peer.work_after].work_before) =
      peer.work_before;
}

void Core::drain_work(Turn& turn) noexcept {
  // First come, first served. A peer whose work does not fit this turn goes to the end: what it
  // waits for (the handshake share, room in the outbox) may still serve others.
  constexpr std::uint32_t peers_per_turn = 256;
  PeerId first_put_back = no_peer;
  for (std::uint32_t i = 0; i < peers_per_turn; ++i) {
    if (work_first_ == no_peer || work_first_ == first_put_back) {
      return;
    }
    Peer& peer = peers_[work_first_];
    const bool wants_initiation = peer.wants_initiation;
    const bool wants_flush = peer.wants_flush;
    drop_work(peer);
    peer.wants_flush = wants_flush && !flush(peer, turn);
    if (wants_initiation && turn.handshakes_left > 0) {
      send_initiation(peer, turn);
    } else if (wants_initiation) {
      want_initiation(peer);
    }
    const bool put_back = peer.wants_flush || wants_initiation == peer.wants_initiation;
    if (peer.wants_flush || peer.wants_initiation) {
      add_work(peer);
      first_put_back = put_back && first_put_back == no_peer ? peer.id : first_put_back;
    }
  }
}

}  // namespace wgring::noise
