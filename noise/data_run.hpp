// DataRun: what one call of the AEAD opens, or several where the work is divided.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/fixed_vector.hpp"
#include "crypto/aead.hpp"
#include "noise/batch.hpp"
#include "noise/messages.hpp"

namespace wgring::noise {

// Consecutive data messages of one train that name the same index.
struct DataRun {
  FixedVector<crypto::OpenSegment, train_segments_max> segments;
  std::uint32_t receiver_index = 0;
  std::uint32_t end = 0;  // offset in the train of what comes behind them
};

// The run from `offset` on, where a data message is. `run` is empty. Inline: runs of one packet are
// the common case of many peers.
WG_HOT void find_run(const Wild& wild, std::uint32_t offset, DataRun& run) noexcept {
  const MutableBytes bytes = wild.slot.bytes().first(wild.bytes);
  run.receiver_index = load_le32(bytes.data() + offset + DataLayout::receiver_index);
  run.end = offset;
  while (run.end < wild.bytes && run.segments.room() > 0) {
    const std::uint32_t size = std::min(wild.stride_bytes, wild.bytes - run.end);
    std::uint8_t* const at = bytes.data() + run.end;
    if (classify(Bytes{at, size}) != MessageType::data ||
        load_le32(at + DataLayout::receiver_index) != run.receiver_index) {
      break;
    }
    run.segments.push_back(crypto::OpenSegment{.sealed = at + DataLayout::sealed,
                                               .plain = at + DataLayout::sealed,
                                               .sealed_bytes = size - DataLayout::header_bytes,
                                               .counter = load_le64(at + DataLayout::counter),
                                               .opened = false});
    run.end += size;
  }
}

}  // namespace wgring::noise
