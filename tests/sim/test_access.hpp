// What tests may see of a Core, and the counters they may set: limits near 2^64 are out of reach
// of sending.
#pragma once

#include "noise/core.hpp"
#include "noise/device.hpp"

namespace wgring::noise {

struct CoreTestAccess {
  [[nodiscard]] static Core& core(Device& device) noexcept { return *device.core_; }
  // The peer must be there.
  [[nodiscard]] static Peer& peer(Device& device, const crypto::PublicKey& key) noexcept {
    Peer* const found = core(device).peers_.find(key);
    WG_ASSERT(found != nullptr);
    return *found;
  }
  // nullptr: none there.
  [[nodiscard]] static Keypair* keypair(Device& device, KeypairId id) noexcept {
    return id == no_keypair ? nullptr : &core(device).keypairs_[id];
  }
  [[nodiscard]] static std::uint32_t index_count(Device& device) noexcept {
    return core(device).indices_.size();
  }
  [[nodiscard]] static std::uint32_t keypair_count(Device& device) noexcept {
    return core(device).keypairs_.used();
  }
  [[nodiscard]] static std::uint32_t staged_count(Device& device) noexcept {
    std::uint32_t count = 0;
    core(device).peers_.for_each([&](const Peer& peer) { count += peer.staged.count(); });
    return count;
  }
  static void arm(Device& device, Peer& peer, Timer timer, Instant at) noexcept {
    core(device).arm(peer, timer, at);
  }
  // What the heap believes about the peer; early is allowed.
  [[nodiscard]] static Instant deadline(Device& device, const Peer& peer) noexcept {
    return core(device).deadlines_.at(peer.id);
  }
  [[nodiscard]] static std::size_t queued_handshakes(Device& device) noexcept {
    return core(device).handshakes_.count();
  }
  // As if an authentic peer had been seen there.
  static void know(Device& device, const SocketAddress& source) noexcept {
    core(device).handshakes_.know(source);
  }
  // As if it had just been received.
  [[nodiscard]] static bool queue_handshake(Device& device, Bytes message,
                                            const SocketAddress& source) noexcept {
    return core(device).handshakes_.push(false, message, source, {});
  }
};

}  // namespace wgring::noise
