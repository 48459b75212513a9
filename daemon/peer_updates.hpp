// The peer sections of a request on their way to the core, a bounded number per visit.
#pragma once

#include "daemon/set_request.hpp"
#include "tun/shards.hpp"

namespace wgring::daemon {

// Upper bounds of what a request can add.
struct AdditionBounds {
  std::uint32_t peers = 0;
  std::uint32_t prefixes = 0;
};
[[nodiscard]] AdditionBounds addition_bounds(const SetRequest& request) noexcept;

// The public keys of all sections that can add a peer: sorted, each once.
[[nodiscard]] std::vector<crypto::PublicKey> keys_to_add(const SetRequest& request);

[[nodiscard]] bool removes_peers(const SetRequest& request) noexcept;

// In sequence. After Device::reserve() for the bounds it does not fail.
[[nodiscard]] Status apply_peer_sections(tun::Shards& shards, const SetRequest& request);

}  // namespace wgring::daemon
