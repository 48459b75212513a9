// SealRun: consecutive packets to one peer, sealed by one call of the AEAD.
#pragma once

#include <cstdint>

#include "base/fixed_vector.hpp"
#include "crypto/aead.hpp"
#include "noise/core.hpp"
#include "noise/inner.hpp"
#include "noise/messages.hpp"
#include "noise/seal_batch.hpp"
#include "noise/split.hpp"

namespace wgring::noise {

// 1 add() finds the session, gives a packet its nonce and its place in a train, 2 seal() seals all
// that were added since the last time, 3 finish() does so too and tells the peer's timers once.
// The plain bytes must live until seal(); no effect of the turn may leave before finish().
// With a batch finish() leaves the sealing to it: the bytes live, and no effect leaves, until the
// batch has run.
class SealRun {
 public:
  enum class Added : std::uint8_t { yes, no_key, no_buffer, too_long };

  SealRun(Core& core, Turn& turn, SealBatch* batch = nullptr) noexcept
      : core_(core), turn_(turn), batch_(batch) {}
  SealRun(const SealRun&) = delete;
  SealRun& operator=(const SealRun&) = delete;
  ~SealRun() { WG_ASSERT(segments_.empty() && !untold_); }

  // The packet (zero bytes: keepalive) and plain_tailroom_bytes behind it may be written to.
  // Another peer than the last one finishes the run of that one first.
  [[nodiscard]] Added add(Peer& peer, std::uint8_t* data, std::uint32_t bytes,
                          std::uint8_t ecn) noexcept;
  // A whole super-packet for the batch, which cuts it; is_divided() only. False: nothing was done,
  // its segments have to come one by one.
  [[nodiscard]] bool add_divided(Peer& peer, const Splitter& splitter, std::uint8_t ecn) noexcept;
  [[nodiscard]] bool is_divided() const noexcept { return batch_ != nullptr; }
  void seal() noexcept;
  void finish() noexcept;
  // Slots of staged packets that must live until finish(): is there room for one more?
  [[nodiscard]] bool full() const noexcept { return segments_.room() == 0; }

 private:
  void select(Peer& peer) noexcept;
  [[nodiscard]] Added place(Peer& peer, std::uint32_t bytes, std::uint8_t ecn,
                            crypto::SealSegment& segment) noexcept;
  void hand_over() noexcept;
  void make_room(std::size_t segments) noexcept;

  Core& core_;
  Turn& turn_;
  SealBatch* batch_;  // nullptr: sealed at once
  Peer* peer_ = nullptr;
  Keypair* keypair_ = nullptr;
  bool carries_data_ = false;
  bool untold_ = false;  // sealed or with the batch, the timers do not know yet
  FixedVector<crypto::SealSegment, train_segments_max> segments_;
};

// Inline: without it 1 % more instructions for a packet of 64 bytes.
WG_HOT SealRun::Added SealRun::place(Peer& peer, std::uint32_t bytes, std::uint8_t ecn,
                                     crypto::SealSegment& segment) noexcept {
  const std::size_t padded = padded_bytes(bytes, core_.mtu_bytes_);
  const std::size_t size = padded + DataLayout::overhead_bytes;
  if (size > train_bytes_max) {
    return Added::too_long;
  }
  std::uint8_t* const at = turn_.trains.data_segment(peer, static_cast<std::uint32_t>(size), ecn);
  if (at == nullptr) {
    return Added::no_buffer;
  }
  store_le32(at, static_cast<std::uint32_t>(MessageType::data));
  store_le32(at + DataLayout::receiver_index, keypair_->remote_index);
  store_le64(at + DataLayout::counter, keypair_->sending_counter);
  segment = {.plain = nullptr,
             .sealed = at + DataLayout::sealed,
             .plain_bytes = padded,
             .counter = keypair_->sending_counter};
  keypair_->sending_counter += 1;
  peer.tx_bytes += size;
  carries_data_ = carries_data_ || bytes > 0;
  return Added::yes;
}

}  // namespace wgring::noise
