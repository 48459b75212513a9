// OpenBatch: data messages opened ahead of being received, by several at once.
//
// What it found is a proposal: the receiver walks its batch as ever, in order, looks every session
// up again, and takes from here only what would otherwise be a call of the AEAD.
#pragma once

#include <cstdint>
#include <span>

#include "base/fixed_vector.hpp"
#include "crypto/aead.hpp"
#include "noise/batch.hpp"
#include "noise/data_run.hpp"
#include "noise/job_cuts.hpp"
#include "noise/jobs.hpp"
#include "noise/keypair.hpp"

namespace wgring::noise {

// Owner: Core. The wilds that it was told of, and the keys, live until clear().
class OpenBatch {
 public:
  static constexpr std::size_t segments_max = 1024;

  // A run with its verdicts.
  struct Opened {
    const Wild* wild = nullptr;
    std::uint32_t offset = 0;
    std::uint32_t end = 0;
    KeypairId keypair = no_keypair;
    std::uint32_t receiver_index = 0;
    std::uint32_t first = 0;
    std::uint32_t count = 0;
  };

  OpenBatch() noexcept = default;
  OpenBatch(const OpenBatch&) = delete;
  OpenBatch& operator=(const OpenBatch&) = delete;

  // Of a batch of about so many bytes, for so many threads.
  void begin(std::size_t bytes, std::uint32_t threads) noexcept { cuts_.begin(bytes, threads); }
  // Room for a train of so many datagrams?
  [[nodiscard]] bool fits(std::size_t segments) const noexcept {
    return segments <= segments_.room() && segments <= runs_.room() && segments <= calls_.room();
  }
  // In the order in which they will be received.
  void add(const Wild& wild, std::uint32_t offset, const DataRun& run, KeypairId id,
           BytesOf<32> key) noexcept;
  // Opens all, in place.
  void run(const crypto::Aead& aead, const JobRunner& runner) noexcept;
  // After run(), in order: the run that begins there; nullptr: it was not opened ahead.
  [[nodiscard]] const Opened* take(const Wild& wild, std::uint32_t offset) noexcept;
  [[nodiscard]] std::span<const crypto::OpenSegment> segments(const Opened& run) const noexcept {
    return std::span{segments_.begin(), segments_.size()}.subspan(run.first, run.count);
  }
  void clear() noexcept;

 private:
  struct Call {
    const std::uint8_t* key = nullptr;
    std::uint32_t first = 0;
    std::uint32_t count = 0;
  };

  static void run_job(void* batch, std::size_t job) noexcept;

  const crypto::Aead* aead_ = nullptr;
  FixedVector<crypto::OpenSegment, segments_max> segments_;
  FixedVector<Opened, JobCuts::calls_max> runs_;
  FixedVector<Call, JobCuts::calls_max> calls_;
  JobCuts cuts_;
  std::size_t next_ = 0;  // of runs_, to be taken
};

}  // namespace wgring::noise
