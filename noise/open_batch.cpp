#include "noise/open_batch.hpp"

namespace wgring::noise {

void OpenBatch::add(const Wild& wild, std::uint32_t offset, const DataRun& run, KeypairId id,
                    BytesOf<32> key) noexcept {
  const auto first = static_cast<std::uint32_t>(segments_.size());
  const auto count = static_cast<std::uint32_t>(run.segments.size());
  runs_.push_back({.wild = &wild,
                   .offset = offset,
                   .end = run.end,
                   .keypair = id,
                   .receiver_index = run.receiver_index,
                   .first = first,
                   .count = count});
  for (std::uint32_t at = 0; at < count;) {
    Call call{.key = key.data(), .first = first + at};
    std::size_t work = 0;
    while (at < count && work < cuts_.left()) {
      work += JobCuts::work_of(run.segments[at].sealed_bytes);
      segments_.push_back(run.segments[at]);
      at += 1;
      call.count += 1;
    }
    calls_.push_back(call);
    cuts_.add(work);
  }
}

void OpenBatch::run(const crypto::Aead& aead, const JobRunner& runner) noexcept {
  aead_ = &aead;
  runner.run_all({.run = run_job, .work = this, .count = cuts_.finish()});
}

const OpenBatch::Opened* OpenBatch::take(const Wild& wild, std::uint32_t offset) noexcept {
  const auto before = [&](const Opened& run) {
    return run.wild < &wild || (run.wild == &wild && run.offset < offset);
  };
  while (next_ < runs_.size() && before(runs_[next_])) {
    next_ += 1;
  }
  const bool there =
      next_ < runs_.size() && runs_[next_].wild == &wild && runs_[next_].offset == offset;
  return there ? &runs_[next_] : nullptr;
}

void OpenBatch::clear() noexcept {
  segments_.clear();
  runs_.clear();
  calls_.clear();
  cuts_.clear();
  next_ = 0;
}

// Any thread. Writes the bytes and the verdicts of its own segments.
void OpenBatch::run_job(void* batch, std::size_t job) noexcept {
  auto& self = *static_cast<OpenBatch*>(batch);
  const JobCuts::Range calls = self.cuts_[job];
  for (std::uint32_t i = calls.first; i < calls.end; ++i) {
    const Call& call = self.calls_[i];
    self.aead_->open(
        BytesOf<32>{call.key, 32},
        std::span{self.segments_.begin(), self.segments_.size()}.subspan(call.first, call.count));
  }
}

}  // namespace wgring::noise
