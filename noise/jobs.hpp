// Jobs: the cipher work of a turn in independent pieces, and the seam to whoever runs them. The
// core knows no threads: it hands all pieces over at once and goes on when they are done.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wgring::noise {

// run(work, i) for each i below `count`, each once. They touch nothing in common and may run in
// any order and at the same time.
struct Jobs {
  void (*run)(void* work, std::size_t index) noexcept = nullptr;
  void* work = nullptr;
  std::size_t count = 0;
};

// Functions and their context, which outlives the Device. The default: nothing is ever divided,
// and what that costs is one comparison per call of the core.
struct JobRunner {
  void* context = nullptr;
  std::uint32_t threads = 1;  // at most so many jobs run at the same time
  // Whether a batch of so many bytes is worth being divided now. Asked before any of its work.
  bool (*worth)(void* context, std::size_t bytes) noexcept = nullptr;
  // Returns when all jobs are done; what they wrote is seen by the caller. Called with two or more.
  void (*run)(void* context, const Jobs& jobs) noexcept = nullptr;

  // One alone needs nobody.
  void run_all(const Jobs& jobs) const noexcept {
    if (jobs.count == 1) {
      jobs.run(jobs.work, 0);
    } else if (jobs.count > 1) {
      run(context, jobs);
    }
  }
};

}  // namespace wgring::noise
