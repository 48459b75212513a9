// ReplayWindow: which counters of one receiving key were seen (protocol section 13, RFC 6479).
//
//   word of the ring:  0 | 1 | ... | 127      top: highest accepted counter + 1
//   counter n lives in bit (n + 1) % 64 of word ((n + 1) / 64) % 128
//
// Moving forward clears whole words, so one word of the ring is not usable as window.
#pragma once

#include <array>
#include <cstdint>

#include "noise/constants.hpp"

namespace wgring::noise {

// Owner: the keypair. Order: accept() decides, so it comes after the tag was verified.
// All-zero memory is a fresh window.
class ReplayWindow {
 public:
  // Test and set. False: seen, too old, or at the limit of the key; nothing changed.
  [[nodiscard]] bool accept(std::uint64_t counter) noexcept;
  // Highest accepted + 1; 0: none yet.
  [[nodiscard]] std::uint64_t top() const noexcept { return top_; }
  void reset() noexcept { *this = ReplayWindow{}; }

 private:
  static constexpr std::uint64_t word_count = replay_ring_bits / replay_word_bits;

  std::uint64_t top_ = 0;
  std::array<std::uint64_t, word_count> words_{};
};

}  // namespace wgring::noise
