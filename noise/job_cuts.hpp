// JobCuts: calls of the AEAD, in the order in which they were added, gathered to jobs of about
// equal work.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/fixed_vector.hpp"

namespace wgring::noise {

class JobCuts {
 public:
  static constexpr std::size_t calls_max = 256;

  struct Range {
    std::uint32_t first = 0;
    std::uint32_t end = 0;
  };

  // What a packet costs beside its bytes, in bytes: nonce, one-time key, tag.
  [[nodiscard]] static constexpr std::size_t work_of(std::size_t bytes) noexcept {
    return bytes + 256;
  }
  // `work` is about what will be added, for so many threads. Two jobs for each: one that comes
  // late or is slow costs little then, and taking jobs does not cost much. Large work is cut finer.
  void begin(std::size_t work, std::uint32_t threads) noexcept {
    job_work_ = std::clamp(work / (std::size_t{2} * threads), job_work_min, job_work_max);
  }
  // Work that still belongs into the job that is open; above zero.
  [[nodiscard]] std::size_t left() const noexcept { return job_work_ - work_; }

  // One more call, of so much work.
  void add(std::size_t work) noexcept {
    calls_ += 1;
    work_ += work;
    if (work_ >= job_work_) {
      close();
    }
  }
  // No more calls; the number of jobs.
  [[nodiscard]] std::size_t finish() noexcept {
    if (work_ > 0) {
      close();
    }
    return ends_.size();
  }
  [[nodiscard]] Range operator[](std::size_t job) const noexcept {
    return {.first = job == 0 ? 0 : ends_[job - 1], .end = ends_[job]};
  }
  void clear() noexcept {
    ends_.clear();
    calls_ = 0;
    work_ = 0;
  }

 private:
  // 4 us and 28 us of cipher, where taking a job costs up to 1 us: three cache lines from another
  // processor.
  static constexpr std::size_t job_work_min = std::size_t{6} * 1024;
  static constexpr std::size_t job_work_max = std::size_t{48} * 1024;

  void close() noexcept {
    ends_.push_back(calls_);
    work_ = 0;
  }

  FixedVector<std::uint32_t, calls_max> ends_;
  std::uint32_t calls_ = 0;
  std::size_t work_ = 0;
  std::size_t job_work_ = job_work_min;
};

}  // namespace wgring::noise
