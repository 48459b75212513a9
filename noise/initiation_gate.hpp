// InitiationGate: which of those who come to the door may make us compute (protocol 6 and 7).
#pragma once

#include <optional>

#include "noise/constants.hpp"
#include "noise/cookie_checker.hpp"
#include "noise/index_mark.hpp"
#include "noise/token_bucket.hpp"

namespace wgring::noise {

// Of those without a cookie; with more there is load.
inline constexpr std::int64_t cookieless_initiations_per_s = 1'000;

// Knows of the device what everybody may know, its public key, the mark of its receiver indices,
// and nothing of its peers: what it lets in goes to Device::on_initiations(). Every datagram that
// it keeps out is counted.
// Owner: one thread, whose `now` never goes back.
class InitiationGate {
 public:
  InitiationGate(const Entropy& entropy, IndexMark mark) noexcept
      : mark_(mark), cookies_(entropy) {}
  // False: no memory or no entropy.
  [[nodiscard]] bool open(const MemorySource& memory) noexcept { return cookies_.open(memory); }
  // Those of the device's public key. Nothing: it has none, and nobody is let in.
  void set_mac_keys(const std::optional<MacKeys>& ours) noexcept { ours_ = ours; }

  // The receiver index of one that may be for a handshake or a keypair of ours.
  [[nodiscard]] std::optional<std::uint32_t> marked_index(Bytes datagram) const noexcept;
  // Nothing: `datagram` is an initiation, and is to be let in. Else why not; with cookie_sent
  // `reply` is the answer, to go back to where it came from.
  [[nodiscard]] std::optional<Drop> refuse(Bytes datagram, const SocketAddress& source, Instant now,
                                           MutableBytesOf<CookieReplyLayout::size> reply) noexcept;
  // Who computes is behind with those that were let in: nobody comes without a cookie now.
  void begin_load(Instant now) noexcept {
    loaded_until_ = now + under_load_hold;
    arrived_ = 0;
  }
  // What it holds for nothing is let go, a little per call.
  void collect(Instant now) noexcept { cookies_.collect(now); }

  [[nodiscard]] const DropCounters& drops() const noexcept { return drops_; }

 private:
  [[nodiscard]] std::optional<Drop> judge(Bytes datagram, const SocketAddress& source, Instant now,
                                          MutableBytesOf<CookieReplyLayout::size> reply) noexcept;
  [[nodiscard]] bool under_load(Instant now) noexcept;

  IndexMark mark_;
  std::optional<MacKeys> ours_;
  CookieChecker cookies_;
  TokenBucket cookieless_{cookieless_initiations_per_s, under_load_handshakes};
  Instant loaded_until_ = Instant::min();  // not under load
  std::size_t arrived_ = 0;                // since it was set
  DropCounters drops_;
};

}  // namespace wgring::noise
