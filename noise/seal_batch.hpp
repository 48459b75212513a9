// SealBatch: what a turn has to seal, kept until all of it is sealed at once, by several.
//
// The owner gave every packet its nonce and its place; what is left is a plain function of bytes,
// and nobody looks at the result before the turn ends. A super-packet is cut by those who seal it,
// in parts. Where two parts meet, the headers of the first segment of the one would slide over the
// last payload of the other: the payload of that segment is moved to its place beforehand.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/fixed_vector.hpp"
#include "crypto/aead.hpp"
#include "noise/batch.hpp"
#include "noise/job_cuts.hpp"
#include "noise/jobs.hpp"
#include "noise/split.hpp"

namespace wgring::noise {

// Owner: Core. Bytes and keys that it was told of live until run() has returned.
class SealBatch {
 public:
  static constexpr std::size_t segments_max = 1024;

  SealBatch() noexcept = default;
  SealBatch(const SealBatch&) = delete;
  SealBatch& operator=(const SealBatch&) = delete;

  // Of a batch of about so many bytes, for so many threads.
  void begin(std::size_t bytes, std::uint32_t threads) noexcept { cuts_.begin(bytes, threads); }
  // Room for so many segments of one run or one super-packet?
  [[nodiscard]] bool fits(std::size_t segments) const noexcept {
    return segments <= segments_.room() && calls_.room() > run_segments_max &&
           splitters_.room() >= parts_max;
  }
  // Packets as they are. At most run_segments_max.
  void add(BytesOf<32> key, std::span<const crypto::SealSegment> run) noexcept;
  // A super-packet: place() for each of its segments in order, then add_placed(). `plain` is not
  // looked at. `sealed` null: there was no room for it and it is not sealed.
  void place(const crypto::SealSegment& segment) noexcept { segments_.push_back(segment); }
  void add_placed(BytesOf<32> key, const Splitter& splitter) noexcept;
  // Seals all and is empty then.
  void run(const crypto::Aead& aead, const JobRunner& runner) noexcept;

  static constexpr std::size_t run_segments_max = train_segments_max;

 private:
  static constexpr std::size_t parts_max = 16;  // of a super-packet
  static constexpr std::size_t splitters_max = 96;
  static constexpr std::uint32_t no_splitter = 0xffff'ffffU;

  // One key, consecutive segments.
  struct Call {
    const std::uint8_t* key = nullptr;
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    std::uint32_t splitter = no_splitter;  // of this part alone
  };

  struct Part {
    std::uint32_t at = 0;     // in segments_
    std::uint32_t first = 0;  // of the super-packet's segments
    std::uint32_t count = 0;
    std::size_t work = 0;
  };

  static void run_job(void* batch, std::size_t job) noexcept;
  void seal(const Call& call) const noexcept;
  void seal_part(const Call& call) const noexcept;
  void add_part(BytesOf<32> key, const Splitter& splitter, Part part) noexcept;

  const crypto::Aead* aead_ = nullptr;
  FixedVector<crypto::SealSegment, segments_max> segments_;
  FixedVector<Call, JobCuts::calls_max> calls_;
  FixedVector<std::optional<Splitter>, splitters_max> splitters_;
  JobCuts cuts_;
};

}  // namespace wgring::noise
