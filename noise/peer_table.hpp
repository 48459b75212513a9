// PeerTable: all peers of a device, by id, by public key and in order of insertion.
#pragma once

#include <cstdint>

#include "base/region.hpp"
#include "base/slab.hpp"
#include "crypto/x25519.hpp"
#include "noise/entropy.hpp"
#include "noise/peer.hpp"

namespace wgring::noise {

// Owner: Core. The lookup by key is a keyed hash (SipHash), so that chosen keys cannot pile up;
// it is not constant time, as in the kernel: public keys are not secrets.
class PeerTable {
 public:
  [[nodiscard]] bool open(const MemorySource& memory, const Entropy& entropy,
                          std::uint32_t count_max) noexcept;
  // Room for `more` peers; false: the limit or no memory.
  [[nodiscard]] bool ensure(std::uint32_t more) noexcept;

  // A new youngest peer; the key is absent (asserted) and there is room (asserted).
  Peer& insert(const crypto::PublicKey& public_key) noexcept;
  [[nodiscard]] Peer* find(const crypto::PublicKey& public_key) const noexcept;
  // Unlinks and destroys.
  void remove(Peer& peer) noexcept;

  [[nodiscard]] Peer& operator[](PeerId id) const noexcept { return peers_[id]; }
  [[nodiscard]] std::uint32_t count() const noexcept { return peers_.used(); }
  [[nodiscard]] PeerId oldest() const noexcept { return oldest_; }
  // The oldest peer with a greater serial; nullptr: none. O(1) when called in sequence.
  [[nodiscard]] Peer* after(std::uint64_t serial) const noexcept;
  // The peer that had this id and this serial, unless it was removed: O(1).
  [[nodiscard]] Peer* at(PeerId id, std::uint64_t serial) const noexcept;
  [[nodiscard]] Peer* by_serial(std::uint64_t serial) const noexcept;

  template <typename Visit>
  void for_each(Visit&& visit) const noexcept {
    for (PeerId id = oldest_; id != no_peer;) {
      Peer& peer = peers_[id];
      id = peer.younger;
      visit(peer);
    }
  }

 private:
  [[nodiscard]] std::uint32_t home_of(const crypto::PublicKey& key) const noexcept;
  [[nodiscard]] std::uint32_t* buckets() const noexcept;
  void place(PeerId id) noexcept;
  [[nodiscard]] bool grow_buckets(std::uint32_t wanted_peers) noexcept;

  Slab<Peer> peers_;
  Region bucket_memory_;            // open addressing: peer id + 1, 0 is empty
  std::uint32_t bucket_count_ = 0;  // a power of two, at least twice the peers
  ByteArray<16> hash_key_{};
  PeerId oldest_ = no_peer;
  PeerId youngest_ = no_peer;
  std::uint64_t next_serial_ = 1;
  mutable PeerId cursor_ = no_peer;  // last answer of after(): a hint, checked at use
};

}  // namespace wgring::noise
