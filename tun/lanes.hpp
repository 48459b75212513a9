// Lanes: threads that help a shard with the cipher work of its turns (docs/adr/0006).
//
//   owner   publishes a set of jobs | takes jobs | waits until all are done
//   lane    spins a while, then sleeps | takes jobs
//
// A lane sees bytes and keys and nothing else of a shard, and only while the owner is inside run().
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <pthread.h>

#include "base/result.hpp"
#include "noise/jobs.hpp"
#include "tun/busy_meter.hpp"

namespace wgring::tun {

inline constexpr std::uint32_t lanes_max = 15;

struct LanePolicy {
  std::uint32_t count = 0;  // threads beside the shard's; at most lanes_max
  // Smaller batches stay with the owner: half of this takes as long as waking a lane.
  std::size_t bytes_min = std::size_t{32} * 1024;
  bool only_when_busy = true;  // off: for tests
};

struct LaneCounters {
  std::uint64_t batches = 0;  // sets of jobs that were divided
  std::uint64_t jobs = 0;     // of them, those that lanes took
  std::uint64_t wakeups = 0;  // of sleeping lanes
  std::uint64_t windows = 0;  // of turns, after which it was asked whether the owner is busy
  std::uint64_t windows_busy = 0;
};

// Owner: one shard. Thread: the shard's, which calls everything here.
// Order: inside run() nobody looks at what the jobs write; after it all of it is seen.
// Lifetime: outlives the Device that has its runner(). stop() or the destructor ends the threads.
class Lanes {
 public:
  Lanes() noexcept = default;
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;
  ~Lanes() { stop(); }

  // The threads inherit the caller's signal mask.
  [[nodiscard]] Status start(const LanePolicy& policy) noexcept;
  void stop() noexcept;
  // Default-constructed where there are no lanes.
  [[nodiscard]] noise::JobRunner runner() noexcept;
  // Once per turn that moved packets.
  void note_turn() noexcept;
  [[nodiscard]] const LaneCounters& counters() const noexcept { return counters_; }

  [[nodiscard]] bool worth(std::size_t bytes) const noexcept {
    return bytes >= policy_.bytes_min && (meter_.is_busy() || !policy_.only_when_busy);
  }
  // At most jobs_max.
  void run(const noise::Jobs& jobs) noexcept;
  static constexpr std::size_t jobs_max = 0xffff;

 private:
  // --- lane threads ---
  static void* enter(void* self) noexcept;
  void serve() noexcept;
  void wait_for_jobs(std::uint32_t seen) noexcept;

  // --- both ---
  std::uint32_t take_jobs() noexcept;

  // --- owner ---
  void wake(std::size_t jobs) noexcept;
  void wait_until_done(std::uint32_t count) noexcept;

  LanePolicy policy_;
  BusyMeter meter_;
  LaneCounters counters_;
  std::array<pthread_t, lanes_max> threads_{};
  std::uint32_t started_ = 0;

  // Written by the owner before ticket_, read by who took a job of it: it stays until that job is
  // reported.
  noise::Jobs jobs_;
  std::uint32_t generation_ = 0;  // owner's
  // generation 32 | count 16 | next 16. A job is taken by moving `next` on, so nobody can take one
  // of a set that is over, however late it comes.
  alignas(64) std::atomic<std::uint64_t> ticket_{0};
  alignas(64) std::atomic<std::uint32_t> done_{0};  // jobs of this set
  std::atomic<bool> owner_sleeps_{false};
  alignas(64) std::atomic<std::uint32_t> published_{0};  // sets, and once more for the end
  std::atomic<std::uint32_t> sleepers_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace wgring::tun
