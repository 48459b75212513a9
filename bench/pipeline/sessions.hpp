// Sessions without handshakes: between two Devices of one process, as many as wanted. Handshakes
// could not do it, for a Device has one identity and so one session with another Device.
#pragma once

#include <utility>

#include "noise/core.hpp"
#include "noise/device.hpp"

namespace wgring::noise {

// The friend that Device and Core have for such purposes; tests have another one of this name.
struct CoreTestAccess {
  // An index that the next begin() of this peer takes. The peer must be there.
  [[nodiscard]] static std::uint32_t draw_index(Device& device, const crypto::PublicKey& key) {
    Peer& peer = *device.core_->peers_.find(key);
    WG_ASSERT(device.core_->draw_handshake_index(peer));
    return *peer.handshake_index;
  }
  // As Core::begin_session(), with given keys; confirmed at once.
  static void begin(Device& device, const crypto::PublicKey& key, Keypair&& session) {
    Core& core = *device.core_;
    Peer& peer = *core.peers_.find(key);
    session.peer = peer.id;
    session.local_index = *std::exchange(peer.handshake_index, std::nullopt);
    const KeypairId fresh = core.keypairs_.create(std::move(session));
    WG_ASSERT(fresh != no_keypair);
    core.keypairs_.install_as_initiator(peer.keypairs, fresh);
  }
};

}  // namespace wgring::noise
