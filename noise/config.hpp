// Configuration as the core takes and shows it (protocol sections 19 and 23).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/time.hpp"
#include "crypto/secret.hpp"
#include "crypto/x25519.hpp"
#include "noise/endpoint.hpp"
#include "noise/peer_id.hpp"

namespace wgring::noise {

// A prefix; host bits are masked on insertion.
struct Prefix {
  IpAddress address;
  std::uint8_t cidr = 0;
  friend bool operator==(const Prefix&, const Prefix&) = default;
};

struct AllowedIpChange {
  enum class Kind : std::uint8_t { add, remove, remove_all };
  Kind kind = Kind::add;
  Prefix prefix;  // unused by remove_all
};

// One peer section of a set request, already validated. Loans until the call returns.
struct PeerUpdate {
  crypto::PublicKey public_key{};
  bool remove = false;
  bool update_only = false;
  const crypto::Secret<32>* preshared_key = nullptr;  // all zero: none
  std::optional<SocketAddress> endpoint;
  std::optional<std::uint16_t> persistent_keepalive_s;
  std::span<const AllowedIpChange> allowed_ips;  // in the order given
  // More of them come in the next update, of this peer: what is to be replaced stays until then.
  bool more_allowed_ips = false;
};

// What becomes of the peers that are there, while room is made for others.
enum class Present : bool { stays, leaves };

// One peer as `get` shows it. Prefixes are read apart.
struct PeerStatus {
  std::uint64_t serial = 0;  // insertion order; never used twice
  crypto::PublicKey public_key{};
  crypto::Secret<32> preshared_key;
  Endpoint endpoint;
  WallTime last_handshake{};  // zero: never
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_bytes = 0;
  std::uint16_t persistent_keepalive_s = 0;
  std::uint32_t prefix_count = 0;
  std::uint32_t shard = 0;  // whose endpoint, times and bytes are those of the peer
};

// Where one peer is, and which address of ours it speaks to.
struct PeerEndpoint {
  std::uint64_t serial = 0;
  PeerId peer_id = no_peer;
  Endpoint endpoint;
};

}  // namespace wgring::noise
