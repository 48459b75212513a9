// SealRun: consecutive packets to one peer, sealed by one call of the AEAD.
#pragma once

#include <cstdint>

#include "base/fixed_vector.hpp"
#include "crypto/aead.hpp"
#include "noise/core.hpp"

namespace wgring::noise {

// 1 add() finds the session, gives a packet its nonce and its place in a train, 2 seal() seals all
// that were added since the last time, 3 finish() does so too and tells the peer's timers once.
// The plain bytes must live until seal(); no effect of the turn may leave before finish().
class SealRun {
 public:
  enum class Added : std::uint8_t { yes, no_key, no_buffer, too_long };

  SealRun(Core& core, Turn& turn) noexcept : core_(core), turn_(turn) {}
  SealRun(const SealRun&) = delete;
  SealRun& operator=(const SealRun&) = delete;
  ~SealRun() { WG_ASSERT(segments_.empty() && !untold_); }

  // The packet (zero bytes: keepalive) and plain_tailroom_bytes behind it may be written to.
  // Another peer than the last one finishes the run of that one first.
  [[nodiscard]] Added add(Peer& peer, std::uint8_t* data, std::uint32_t bytes,
                          std::uint8_t ecn) noexcept;
  void seal() noexcept;
  void finish() noexcept;
  // Slots of staged packets that must live until finish(): is there room for one more?
  [[nodiscard]] bool full() const noexcept { return segments_.room() == 0; }

 private:
  Core& core_;
  Turn& turn_;
  Peer* peer_ = nullptr;
  Keypair* keypair_ = nullptr;
  bool carries_data_ = false;
  bool untold_ = false;  // sealed, the timers do not know yet
  FixedVector<crypto::SealSegment, train_segments_max> segments_;
};

}  // namespace wgring::noise
