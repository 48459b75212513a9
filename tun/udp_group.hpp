// UdpGroup: the UDP sockets of all shards of an interface, on one port.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "noise/index_mark.hpp"
#include "tun/udp_socket.hpp"

namespace wgring::tun {

// Each shard has a pair of its own. The kernel gives it the answers and the data for its receiver
// indices (their low bits name it, and they bear the mark), and all else to the door: pairs that
// threads of its own read, so that a flood fills buffers of its own. It is a group of SO_REUSEPORT
// with a classic BPF program per family, for which one shard alone can do without: where it cannot
// be had (before Linux 4.5) there is no door, and all comes to that shard's pair.
// Owner: the control thread; shards use the descriptors of their pair meanwhile.
class UdpGroup {
 public:
  // Who asks to come in waits by a secret hash of where it says it comes from, so that a flood from
  // one address fills one of so many buffers; and who has a cookie, or says so, is not behind those
  // who have none.
  static constexpr unsigned line_bits = 4;
  static constexpr std::uint32_t line_count = 1U << line_bits;  // and as many for those with a mac2
  static constexpr std::uint32_t door_count = 2 * line_count + 1;

  // As UdpPair::open(), for 2^shard_bits shards. May throw std::bad_alloc. Draws randomness.
  [[nodiscard]] static Result<UdpGroup> open(std::uint32_t shard_bits, noise::IndexMark mark,
                                             std::uint16_t port, std::uint32_t fwmark,
                                             ReceiveRuns runs = ReceiveRuns::off);
  // The same in two steps, of which the second takes longer: where packets wait for the first.
  // Until then strangers come to any shard. Without memory for it, or descriptors, there is no
  // door.
  [[nodiscard]] static Result<UdpGroup> open_shards(std::uint32_t shard_bits, noise::IndexMark mark,
                                                    std::uint16_t port, std::uint32_t fwmark,
                                                    ReceiveRuns runs = ReceiveRuns::off);
  [[nodiscard]] Status open_door();
  // Where there is a door: by another secret, who was in one line may be in any. An error: all
  // are where they were, or those of one family. Thread: that of the door, once it is open.
  [[nodiscard]] Status draw_lines() const noexcept { return steer(); }

  [[nodiscard]] const UdpPair& of(std::uint32_t shard) const noexcept { return pairs_[shard]; }
  // Of the door; empty: there is none. First the lines of those who ask to come in, then junk().
  [[nodiscard]] std::span<const UdpPair> door() const noexcept {
    return std::span{pairs_}.subspan(shard_count_);
  }
  // Where there is a door: what is no message, and answers and data for indices that we never drew,
  // or before we were started again.
  [[nodiscard]] const UdpPair& junk() const noexcept { return pairs_.back(); }
  // Where there is no door: why.
  [[nodiscard]] const Error& no_door() const noexcept { return no_door_; }
  [[nodiscard]] std::uint16_t port() const noexcept { return pairs_.front().port(); }
  [[nodiscard]] std::uint32_t fwmark() const noexcept { return fwmark_; }
  // All have it; false for any, after a change that was half done.
  [[nodiscard]] bool has_fwmark(std::uint32_t fwmark) const noexcept;
  // All or, after an error, none, unless has_fwmark() says otherwise.
  [[nodiscard]] Status set_fwmark(std::uint32_t fwmark) noexcept;

 private:
  UdpGroup(noise::IndexMark mark, ReceiveRuns runs, std::uint32_t fwmark) noexcept
      : mark_(mark), runs_(runs), fwmark_(fwmark) {}
  // How much may wait for the pair that is opened next.
  [[nodiscard]] int next_buffer_bytes() const noexcept;
  // To so many pairs.
  [[nodiscard]] Status grow(std::size_t count);
  [[nodiscard]] Status steer() const noexcept;
  [[nodiscard]] Status take_back_fwmark(const Error& why) noexcept;

  noise::IndexMark mark_;
  ReceiveRuns runs_;
  std::uint32_t fwmark_;
  std::size_t shard_count_ = 0;
  Error no_door_{};
  std::vector<UdpPair> pairs_;  // of the shards, and those of the door
};

}  // namespace wgring::tun
