// The seam between the configuration socket and what it configures: a Device on its shard, or a
// fake in tests.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "daemon/set_request.hpp"

namespace wgring::daemon {

struct DeviceStatus {
  crypto::Secret<32> private_key;  // all zero: no identity
  std::uint16_t listen_port = 0;   // 0: not known yet
  std::uint32_t fwmark = 0;
  std::uint32_t peer_count = 0;
  std::uint64_t removals = 0;  // grows with every change that may have removed a peer
};

// A run of peers in order of insertion. Buffers are sized by the reader and reused.
struct PeerPage {
  static constexpr std::size_t peers_max = 64;
  static constexpr std::size_t prefixes_at_first = 1024;

  std::vector<noise::PeerStatus> peers = std::vector<noise::PeerStatus>(peers_max);
  std::size_t peer_count = 0;
  // Of all peers of the page, peer after peer; PeerStatus::prefix_count each.
  std::vector<noise::Prefix> prefixes = std::vector<noise::Prefix>(prefixes_at_first);
  std::size_t prefix_count = 0;
  bool last = false;  // no peer follows
  // As DeviceStatus::removals. Pages of one number, taken in sequence, hold each peer once: a peer
  // that was added in between comes last, and only one that was removed can come again.
  std::uint64_t removals = 0;
};

// Thread: the control thread. Calls return when the work is done.
class ConfigTarget {
 public:
  ConfigTarget() = default;
  ConfigTarget(const ConfigTarget&) = delete;
  ConfigTarget& operator=(const ConfigTarget&) = delete;
  virtual ~ConfigTarget() = default;

  // All of it or, on an Error, nothing.
  [[nodiscard]] virtual Status apply(const SetRequest& request) = 0;
  virtual void read_device(DeviceStatus& status) = 0;
  // Peers with a serial greater than `after_serial`. A page holds at least one peer or is last.
  virtual void read_peers(std::uint64_t after_serial, PeerPage& page) = 0;
};

}  // namespace wgring::daemon
