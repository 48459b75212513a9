// Peer: everything one peer owns. A plain record; what happens to it is in core_*.cpp.
#pragma once

#include <cstdint>
#include <optional>

#include "base/time.hpp"
#include "noise/cookie.hpp"
#include "noise/endpoint.hpp"
#include "noise/handshake.hpp"
#include "noise/identity.hpp"
#include "noise/keypair.hpp"
#include "noise/peer_id.hpp"
#include "noise/staged_queue.hpp"
#include "noise/timers.hpp"

namespace wgring::noise {

// Owner: PeerTable. Never moves. Dies in three steps, all in Core::remove_peer(): unlinked from
// every lookup, emptied (keypairs, timers, staged packets), wiped by its destructor.
struct Peer {
  Peer() noexcept = default;

  PeerId id = no_peer;
  std::uint32_t shard = 0;   // where it lives; elsewhere only its configuration is of use
  std::uint64_t serial = 0;  // insertion order
  PeerId older = no_peer;    // neighbours in insertion order
  PeerId younger = no_peer;

  RemoteIdentity remote;
  Handshake handshake;
  std::optional<std::uint32_t> handshake_index;  // our index of the handshake under way
  CookieJar cookie_jar;
  KeypairSet keypairs;
  Endpoint endpoint;

  PeerTimers timers;
  Instant last_sent_handshake = Instant::min();
  std::uint32_t handshake_attempts = 0;
  std::uint16_t persistent_keepalive_s = 0;
  bool need_another_keepalive = false;
  bool sent_lastminute_handshake = false;

  StagedQueue staged;
  bool keepalive_staged = false;  // an empty packet waits in front of the staged ones

  // Work put off to the end of this turn or to later ones: Core's work list.
  bool wants_initiation = false;
  bool wants_flush = false;
  bool on_work_list = false;
  PeerId work_before = no_peer;
  PeerId work_after = no_peer;

  // The train of this turn that the next segment may join.
  std::uint64_t train_turn = 0;
  std::uint32_t train_at = 0;

  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_bytes = 0;
  WallTime last_handshake{};
};

}  // namespace wgring::noise
