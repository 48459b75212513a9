#include "noise/seal_batch.hpp"

#include <algorithm>

namespace wgring::noise {

void SealBatch::add(BytesOf<32> key, std::span<const crypto::SealSegment> run) noexcept {
  while (!run.empty()) {
    const auto first = static_cast<std::uint32_t>(segments_.size());
    std::uint32_t count = 0;
    std::size_t work = 0;
    while (count < run.size() && work < cuts_.left()) {
      work += JobCuts::work_of(run[count].plain_bytes);
      segments_.push_back(run[count]);
      count += 1;
    }
    calls_.push_back({.key = key.data(), .first = first, .count = count});
    cuts_.add(work);
    run = run.subspan(count);
  }
}

void SealBatch::add_placed(BytesOf<32> key, const Splitter& splitter) noexcept {
  const std::uint32_t count = splitter.count();
  WG_ASSERT(segments_.size() >= count);
  const auto begin = static_cast<std::uint32_t>(segments_.size()) - count;
  const std::size_t whole = count * JobCuts::work_of(splitter.segment_bytes(0));
  Part part{.at = begin};
  for (std::uint32_t i = 0; i < count; ++i) {
    const bool may_end = splitter.divisible() && segments_[begin + i].sealed != nullptr;
    if (may_end && part.work >= std::max(cuts_.left(), whole / (parts_max - 1))) {
      add_part(key, splitter, part);
      part = {.at = begin + i, .first = i};
    }
    part.count += 1;
    part.work += JobCuts::work_of(segments_[begin + i].plain_bytes);
  }
  add_part(key, splitter, part);
}

void SealBatch::add_part(BytesOf<32> key, const Splitter& splitter, Part part) noexcept {
  if (part.first > 0) {
    splitter.move_payload(part.first, segments_[part.at].sealed);
  }
  const auto at = static_cast<std::uint32_t>(splitters_.size());
  splitters_.push_back(splitter.part(part.first, part.first + part.count));
  calls_.push_back({.key = key.data(), .first = part.at, .count = part.count, .splitter = at});
  cuts_.add(part.work);
}

void SealBatch::run(const crypto::Aead& aead, const JobRunner& runner) noexcept {
  aead_ = &aead;
  runner.run_all({.run = run_job, .work = this, .count = cuts_.finish()});
  segments_.clear();
  calls_.clear();
  splitters_.clear();
  cuts_.clear();
}

// Any thread. Reads the batch and writes sealed bytes, and the plain ones of its own packets.
void SealBatch::run_job(void* batch, std::size_t job) noexcept {
  const auto& self = *static_cast<const SealBatch*>(batch);
  const JobCuts::Range calls = self.cuts_[job];
  for (std::uint32_t i = calls.first; i < calls.end; ++i) {
    const Call& call = self.calls_[i];
    if (call.splitter == no_splitter) {
      self.seal(call);
    } else {
      self.seal_part(call);
    }
  }
}

void SealBatch::seal(const Call& call) const noexcept {
  aead_->seal(BytesOf<32>{call.key, 32},
              std::span{segments_.begin(), segments_.size()}.subspan(call.first, call.count));
}

void SealBatch::seal_part(const Call& call) const noexcept {
  Splitter splitter = *splitters_[call.splitter];
  for (std::uint32_t i = 0; i < call.count; ++i) {
    crypto::SealSegment segment = segments_[call.first + i];
    const bool moved = i == 0 && splitter.is_later_part();
    const MutableBytes plain = moved ? splitter.next_moved(segment.sealed) : splitter.next();
    if (segment.sealed == nullptr) {
      continue;
    }
    fill_zero({plain.data() + plain.size(), segment.plain_bytes - plain.size()});
    segment.plain = plain.data();
    aead_->seal(BytesOf<32>{call.key, 32}, {&segment, 1});
  }
}

}  // namespace wgring::noise
