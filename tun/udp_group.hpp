// UdpGroup: the UDP sockets of all shards of an interface, on one port.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.hpp"
#include "noise/index_mark.hpp"
#include "tun/udp_socket.hpp"

namespace wgring::tun {

// Each shard has a pair of its own. The kernel gives it the answers and the data for its receiver
// indices (their low bits name it, and they bear the mark), and all else to the door: two pairs
// more, which threads of its own read, so that a flood fills buffers of its own. It is a group of
// SO_REUSEPORT with a classic BPF program per family, for which one shard alone can do without:
// where it cannot be had (before Linux 4.5) there is no door, and all comes to that shard's pair.
// Owner: the control thread; shards use the descriptors of their pair meanwhile.
class UdpGroup {
 public:
  // As UdpPair::open(), for 2^shard_bits shards. May throw std::bad_alloc.
  [[nodiscard]] static Result<UdpGroup> open(std::uint32_t shard_bits, noise::IndexMark mark,
                                             std::uint16_t port, std::uint32_t fwmark,
                                             ReceiveRuns runs = ReceiveRuns::off);

  [[nodiscard]] const UdpPair& of(std::uint32_t shard) const noexcept { return pairs_[shard]; }
  // nullptr: there is no door. Who asks to come in, and what is no message:
  [[nodiscard]] const UdpPair* door() const noexcept {
    return pairs_.size() > shard_count_ ? &pairs_[shard_count_] : nullptr;
  }
  // Answers and data for indices that we never drew, or before we were started again.
  [[nodiscard]] const UdpPair* unmarked() const noexcept {
    return pairs_.size() > shard_count_ ? &pairs_[shard_count_ + 1] : nullptr;
  }
  [[nodiscard]] std::uint16_t port() const noexcept { return pairs_.front().port(); }
  [[nodiscard]] std::uint32_t fwmark() const noexcept { return pairs_.front().fwmark(); }
  // All or none.
  [[nodiscard]] Status set_fwmark(std::uint32_t fwmark) noexcept;

 private:
  [[nodiscard]] Status grow(noise::IndexMark mark, std::uint32_t fwmark, ReceiveRuns runs);
  [[nodiscard]] Status steer(noise::IndexMark mark) const noexcept;

  std::size_t shard_count_ = 0;
  std::vector<UdpPair> pairs_;  // of the shards, and those of the door
};

}  // namespace wgring::tun
