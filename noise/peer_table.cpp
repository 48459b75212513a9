#include "noise/peer_table.hpp"

#include <bit>

#include "crypto/siphash.hpp"

namespace wgring::noise {

bool PeerTable::open(const MemorySource& memory, const Entropy& entropy,
                     std::uint32_t count_max) noexcept {
  const std::size_t buckets_max = std::size_t{2} * std::bit_ceil(count_max);
  return entropy(hash_key_) && peers_.reserve(memory, count_max) &&
         bucket_memory_.reserve(memory, buckets_max * sizeof(std::uint32_t));
}

bool PeerTable::ensure(std::uint32_t more) noexcept {
  return peers_.ensure_free(more) && grow_buckets(peers_.used() + more);
}

bool PeerTable::grow_buckets(std::uint32_t wanted_peers) noexcept {
  const std::uint32_t wanted = std::bit_ceil(wanted_peers < 32 ? 64U : 2 * wanted_peers);
  if (wanted <= bucket_count_) {
    return true;
  }
  if (!bucket_memory_.ensure(std::size_t{wanted} * sizeof(std::uint32_t))) {
    return false;
  }
  fill_zero({bucket_memory_.data(), std::size_t{wanted} * sizeof(std::uint32_t)});
  bucket_count_ = wanted;
  for_each([this](const Peer& peer) { place(peer.id); });
  return true;
}

std::uint32_t* PeerTable::buckets() const noexcept {
  return reinterpret_cast<std::uint32_t*>(bucket_memory_.data());  // NOLINT: page-aligned
}

std::uint32_t PeerTable::home_of(const crypto::PublicKey& key) const noexcept {
  return static_cast<std::uint32_t>(crypto::siphash(hash_key_, key)) & (bucket_count_ - 1);
}

void PeerTable::place(PeerId id) noexcept {
  std::uint32_t at = home_of(peers_[id].remote.public_key);
  while (buckets()[at] != 0) {
    at = (at + 1) & (bucket_count_ - 1);
  }
  buckets()[at] = id + 1;
}

Peer& PeerTable::insert(const crypto::PublicKey& public_key) noexcept {
  WG_VERIFY(find(public_key) == nullptr);
  WG_ASSERT(2 * std::size_t{peers_.used()} < bucket_count_);
  const PeerId id = peers_.take();
  WG_ASSERT(id != no_peer);
  Peer& peer = peers_[id];
  peer.id = id;
  peer.serial = next_serial_++;
  peer.remote.set_public_key(public_key);
  peer.older = youngest_;
  (youngest_ == no_peer ? oldest_ : peers_[youngest_].younger) = id;
  youngest_ = id;
  place(id);
  return peer;
}

Peer* PeerTable::find(const crypto::PublicKey& public_key) const noexcept {
  if (bucket_count_ == 0) {
    return nullptr;
  }
  for (std::uint32_t at = home_of(public_key); buckets()[at] != 0;
       at = (at + 1) & (bucket_count_ - 1)) {
    Peer& peer = peers_[buckets()[at] - 1];
    if (peer.remote.public_key == public_key) {
      return &peer;
    }
  }
  return nullptr;
}

void PeerTable::remove(Peer& peer) noexcept {
  const std::uint32_t mask = bucket_count_ - 1;
  std::uint32_t hole = home_of(peer.remote.public_key);
  while (buckets()[hole] != peer.id + 1) {
    WG_ASSERT(buckets()[hole] != 0);
    hole = (hole + 1) & mask;
  }
  // Entries behind the hole move up unless that would put them before their home.
  for (std::uint32_t at = (hole + 1) & mask; buckets()[at] != 0; at = (at + 1) & mask) {
    const std::uint32_t home = home_of(peers_[buckets()[at] - 1].remote.public_key);
    if (((at - home) & mask) >= ((at - hole) & mask)) {
      buckets()[hole] = buckets()[at];
      hole = at;
    }
  }
  buckets()[hole] = 0;
  (peer.older == no_peer ? oldest_ : peers_[peer.older].younger) = peer.younger;
  (peer.younger == no_peer ? youngest_ : peers_[peer.younger].older) = peer.older;
  peers_.give_back(peer.id);
}

Peer* PeerTable::after(std::uint64_t serial) const noexcept {
  PeerId id = oldest_;
  if (peers_.is_taken(cursor_) && peers_[cursor_].serial <= serial) {
    id = cursor_;
  }
  while (id != no_peer && peers_[id].serial <= serial) {
    id = peers_[id].younger;
  }
  if (id == no_peer) {
    return nullptr;
  }
  cursor_ = id;
  return &peers_[id];
}

Peer* PeerTable::at(PeerId id, std::uint64_t serial) const noexcept {
  return peers_.is_taken(id) && peers_[id].serial == serial ? &peers_[id] : nullptr;
}

Peer* PeerTable::by_serial(std::uint64_t serial) const noexcept {
  if (peers_.is_taken(cursor_) && peers_[cursor_].serial == serial) {
    return &peers_[cursor_];
  }
  Peer* const peer = serial == 0 ? nullptr : after(serial - 1);
  return peer != nullptr && peer->serial == serial ? peer : nullptr;
}

}  // namespace wgring::noise
