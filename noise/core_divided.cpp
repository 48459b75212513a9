// Dividing a turn: the cipher work of a batch goes to several, everything else stays in order.
//   sending    nonces, places and timers as ever; what is to be sealed is gathered and sealed by
//              all before the turn ends
//   receiving  1 runs and their sessions are found, nothing is changed by that   2 all are opened
//              3 the batch is received as ever, with verdicts that are there already
#include <algorithm>

#include "noise/core.hpp"
#include "noise/messages.hpp"
#include "noise/seal_run.hpp"

namespace wgring::noise {

void Core::receive_divided(std::span<Wild> batch, std::size_t bytes, Turn& turn) noexcept {
  open_batch_.begin(bytes, setup_.runner.threads);
  while (!batch.empty()) {
    std::size_t taken = 0;
    while (taken < batch.size() && open_ahead(batch[taken], turn.now.boottime)) {
      taken += 1;
    }
    WG_ASSERT(taken > 0);
    open_batch_.run(*setup_.aead, setup_.runner);
    turn.opened = &open_batch_;
    receive_all(batch.first(taken), turn);
    turn.opened = nullptr;
    open_batch_.clear();
    batch = batch.subspan(taken);
  }
}

// False: no room, it belongs into the next batch. What receive_train() will refuse is let pass.
bool Core::open_ahead(Wild& wild, Instant now) noexcept {
  const std::uint32_t stride = stride_of(wild);
  const std::uint32_t segments = stride == 0 ? 0 : (wild.bytes - 1) / stride + 1;
  const bool refused = !link_up_ || segments == 0 || !wild.source.answerable();
  if (refused || segments > received_segments_max) {
    return true;
  }
  if (!open_batch_.fits(segments)) {
    return false;
  }
  wild.stride_bytes = stride;
  for (std::uint32_t offset = 0; offset < wild.bytes;) {
    const std::uint32_t size = std::min(stride, wild.bytes - offset);
    if (classify(wild.slot.bytes().subspan(offset, size)) != MessageType::data) {
      offset += size;
      continue;
    }
    DataRun run;
    find_run(wild, offset, run);
    const auto found = indices_.find(run.receiver_index);
    if (found && found->kind == IndexKind::keypair && keypairs_[found->id].may_receive(now)) {
      open_batch_.add(wild, offset, run, found->id, keypairs_[found->id].keys.receiving.view());
    }
    offset = run.end;
  }
  return true;
}

// An earlier packet of the batch may have ended the session since the run was opened. None begins
// before the end of the turn.
void Core::receive_opened_run(const OpenBatch::Opened& run, Wild& wild, Turn& turn) noexcept {
  KeypairId id = no_keypair;
  if (usable_for_receiving(run.receiver_index, run.count, turn.now.boottime, id) != nullptr) {
    WG_ASSERT(id == run.keypair);
    receive_segments(id, turn.opened->segments(run), wild, turn);
  }
}

// --- SealRun ---

bool SealRun::add_divided(Peer& peer, const Splitter& splitter, std::uint8_t ecn) noexcept {
  const std::uint32_t count = splitter.count();
  select(peer);
  if (keypair_ == nullptr || keypair_->sending_counter >= reject_after_messages ||
      reject_after_messages - keypair_->sending_counter < count ||
      count > SealBatch::segments_max) {
    return false;
  }
  hand_over();
  make_room(count);
  bool placed = false;
  for (std::uint32_t i = 0; i < count; ++i) {
    crypto::SealSegment segment{};
    const Added added = place(peer, splitter.segment_bytes(i), ecn, segment);
    if (added != Added::yes) {
      core_.drops_.add(added == Added::no_buffer ? Drop::no_buffer : Drop::too_long);
    }
    placed = placed || added == Added::yes;
    batch_->place(segment);
  }
  batch_->add_placed(keypair_->keys.sending.view(), splitter);
  untold_ = untold_ || placed;
  return true;
}

void SealRun::make_room(std::size_t segments) noexcept {
  if (!batch_->fits(segments)) {
    batch_->run(*core_.setup_.aead, core_.setup_.runner);
  }
}

}  // namespace wgring::noise
