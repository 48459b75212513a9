// The shards of an interface: several Devices of one identity, each on a thread of its own. All are
// configured alike; a peer lives on one of them, the others know it only to find out where.
#pragma once

#include <cstdint>

#include "crypto/x25519.hpp"

namespace wgring::noise {

inline constexpr std::uint32_t shard_bits_max = 4;

// Of 2^shard_bits. A public key is random enough to spread peers, and so nobody keeps a table.
[[nodiscard]] inline std::uint32_t shard_of(const crypto::PublicKey& key,
                                            std::uint32_t shard_bits) noexcept {
  return key[0] & ((std::uint32_t{1} << shard_bits) - 1);
}

}  // namespace wgring::noise
