// One `set` as validated operations: compact, so that a million peers fit, and free of text.
#pragma once

#include <cstdint>
#include <deque>
#include <new>
#include <optional>
#include <vector>

#include "noise/config.hpp"

namespace wgring::daemon {

// One peer section. Its prefixes are SetRequest::prefixes[first_prefix, +prefix_count).
struct PeerSection {
  static constexpr std::uint32_t no_preshared_key = 0xffff'ffffU;

  crypto::PublicKey public_key{};
  std::optional<noise::SocketAddress> endpoint;
  std::optional<std::uint16_t> persistent_keepalive_s;
  std::uint32_t preshared_key = no_preshared_key;  // place in SetRequest::preshared_keys
  std::uint32_t first_prefix = 0;
  std::uint32_t prefix_count = 0;
  bool remove = false;
  bool update_only = false;
};

// Applied in the order: private key, port, mark, replace_peers, then the sections in sequence.
struct SetRequest {
  // An empty deque has memory of its own: to make or to move one may throw, this does not.
  void clear() noexcept {
    private_key.reset();
    listen_port.reset();
    fwmark.reset();
    replace_peers = false;
    give_back(peers);
    give_back(preshared_keys);
    std::vector<noise::AllowedIpChange>().swap(prefixes);
  }

  std::optional<crypto::Secret<32>> private_key;  // all zero: remove the identity
  std::optional<std::uint16_t> listen_port;       // 0: any free one
  std::optional<std::uint32_t> fwmark;            // 0: none
  bool replace_peers = false;
  // A deque never moves its elements: growing leaves no copies of keys behind.
  std::deque<PeerSection> peers;
  std::deque<crypto::Secret<32>> preshared_keys;
  std::vector<noise::AllowedIpChange> prefixes;

 private:
  template <typename T>
  static void give_back(std::deque<T>& deque) noexcept {
    try {
      std::deque<T>().swap(deque);
    } catch (const std::bad_alloc&) {
      deque.clear();
    }
  }
};

}  // namespace wgring::daemon
