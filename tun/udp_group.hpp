// UdpGroup: the UDP sockets of all shards of an interface, on one port.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.hpp"
#include "tun/udp_socket.hpp"

namespace wgring::tun {

// Each shard has a pair of its own. The kernel gives it the answers and the data for its receiver
// indices (their low bits name it), and all else to the door: a pair more, which a thread behind
// the shards reads, so that a flood of initiations fills a buffer of its own. It is a group of
// SO_REUSEPORT with a classic BPF program per family, for which one shard alone can do without:
// where it cannot be had (before Linux 4.5) there is no door, and all comes to that shard's pair.
// Owner: the control thread; shards use the descriptors of their pair meanwhile.
class UdpGroup {
 public:
  // As UdpPair::open(), for 2^shard_bits shards. May throw std::bad_alloc.
  [[nodiscard]] static Result<UdpGroup> open(std::uint32_t shard_bits, std::uint16_t port,
                                             std::uint32_t fwmark,
                                             ReceiveRuns runs = ReceiveRuns::off);

  [[nodiscard]] const UdpPair& of(std::uint32_t shard) const noexcept { return pairs_[shard]; }
  // nullptr: there is none.
  [[nodiscard]] const UdpPair* door() const noexcept {
    return pairs_.size() > shard_count_ ? &pairs_.back() : nullptr;
  }
  [[nodiscard]] std::uint16_t port() const noexcept { return pairs_.front().port(); }
  [[nodiscard]] std::uint32_t fwmark() const noexcept { return pairs_.front().fwmark(); }
  // All or none.
  [[nodiscard]] Status set_fwmark(std::uint32_t fwmark) noexcept;

 private:
  [[nodiscard]] Status grow(std::uint32_t fwmark, ReceiveRuns runs);
  [[nodiscard]] Status steer() const noexcept;

  std::size_t shard_count_ = 0;
  std::vector<UdpPair> pairs_;  // of the shards, and that of the door
};

}  // namespace wgring::tun
