#include "tun/lanes.hpp"

#include <algorithm>

#include "crypto/self_test.hpp"
#include "tun/clock.hpp"

namespace wgring::tun {
namespace {

// Longer than the kernel's share of a busy turn, shorter than anybody would notice on a bill. The
// owner waits as long for the last job before it sleeps: then a lane has lost its processor.
constexpr Duration spin_max = std::chrono::microseconds{50};
constexpr int pauses_per_look = 32;

void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// True when `there` became true in time.
template <typename There>
[[nodiscard]] bool spin(There&& there) noexcept {
  const Instant end = read_clock().boottime + spin_max;
  do {
    for (int i = 0; i < pauses_per_look; ++i) {
      if (there()) {
        return true;
      }
      pause();
    }
  } while (read_clock().boottime < end);
  return false;
}

constexpr std::uint64_t count_shift = 16;
constexpr std::uint64_t generation_shift = 32;

[[nodiscard]] constexpr std::uint64_t first_ticket(std::uint32_t generation,
                                                   std::size_t count) noexcept {
  return std::uint64_t{generation} << generation_shift | std::uint64_t{count} << count_shift;
}
[[nodiscard]] constexpr std::uint32_t count_of(std::uint64_t ticket) noexcept {
  return static_cast<std::uint32_t>(ticket >> count_shift & 0xffffU);
}
[[nodiscard]] constexpr std::uint32_t next_of(std::uint64_t ticket) noexcept {
  return static_cast<std::uint32_t>(ticket & 0xffffU);
}

}  // namespace

// --- owner ---

Status Lanes::start(const LanePolicy& policy) noexcept {
  WG_ASSERT(started_ == 0 && policy.count <= lanes_max);
  policy_ = policy;
  while (started_ < policy.count) {
    if (const int error = ::pthread_create(&threads_[started_], nullptr, enter, this); error != 0) {
      stop();
      return fail(error, "pthread_create: a lane");
    }
    started_ += 1;
  }
  return {};
}

void Lanes::stop() noexcept {
  // Pairs with the loads of published_ in serve(): the end is seen with its number.
  stop_.store(true, std::memory_order_relaxed);
  published_.fetch_add(1);
  published_.notify_all();
  for (; started_ > 0; started_ -= 1) {
    WG_ASSERT(::pthread_join(threads_[started_ - 1], nullptr) == 0);
  }
  stop_.store(false, std::memory_order_relaxed);
}

noise::JobRunner Lanes::runner() noexcept {
  if (started_ == 0) {
    return {};
  }
  return {
      .context = this,
      .threads = started_ + 1,
      .worth = [](void* self,
                  std::size_t bytes) noexcept { return static_cast<Lanes*>(self)->worth(bytes); },
      .run = [](void* self,
                const noise::Jobs& jobs) noexcept { static_cast<Lanes*>(self)->run(jobs); }};
}

void Lanes::note_turn() noexcept {
  if (started_ > 0 && policy_.only_when_busy && meter_.count_turn()) {
    meter_.measure(read_clock().boottime, read_thread_time());
    counters_.windows += 1;
    counters_.windows_busy += meter_.is_busy() ? 1U : 0U;
  }
}

void Lanes::run(const noise::Jobs& jobs) noexcept {
  WG_ASSERT(jobs.count <= jobs_max);
  jobs_ = jobs;
  generation_ += 1;
  done_.store(0, std::memory_order_relaxed);
  // Pairs with the acquires in take_jobs(): who takes a job sees jobs_ and what it points to.
  ticket_.store(first_ticket(generation_, jobs.count), std::memory_order_release);
  // Sequentially consistent with sleepers_: a lane sees the set, or is seen sleeping.
  published_.fetch_add(1);
  wake(jobs.count);
  const std::uint32_t own = take_jobs();
  wait_until_done(static_cast<std::uint32_t>(jobs.count));
  counters_.batches += 1;
  counters_.jobs += jobs.count - own;
}

// One lane for each job but the owner's first.
void Lanes::wake(std::size_t jobs) noexcept {
  const std::size_t sleepers = sleepers_.load();
  for (std::size_t i = 0; i < sleepers && i + 1 < jobs; ++i) {
    published_.notify_one();
    counters_.wakeups += 1;
  }
}

void Lanes::wait_until_done(std::uint32_t count) noexcept {
  // Pairs with the release in take_jobs(): what the jobs wrote is there.
  const auto all = [&] { return done_.load(std::memory_order_acquire) == count; };
  if (all() || spin(all)) {
    return;
  }
  // Sequentially consistent with done_: the last lane sees the flag, or is seen to be done.
  owner_sleeps_.store(true);
  for (std::uint32_t done = done_.load(); done != count; done = done_.load()) {
    done_.wait(done);
  }
  owner_sleeps_.store(false, std::memory_order_relaxed);
}

// --- both ---

// Takes jobs of the present set until none is left; returns how many it was.
std::uint32_t Lanes::take_jobs() noexcept {
  std::uint32_t taken = 0;
  std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (next_of(ticket) < count_of(ticket)) {
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acquire)) {
      continue;
    }
    jobs_.run(jobs_.work, next_of(ticket));
    taken += 1;
    // The last one that touches this set: pairs with the acquires in wait_until_done().
    const bool last = done_.fetch_add(1) + 1 == count_of(ticket);
    if (last && owner_sleeps_.load()) {
      done_.notify_one();
    }
    ticket = ticket_.load(std::memory_order_acquire);
  }
  return taken;
}

// --- lane threads ---

void* Lanes::enter(void* self) noexcept {
  static_cast<void>(::pthread_setname_np(::pthread_self(), "wgring-lane"));
  crypto::prepare_thread();
  static_cast<Lanes*>(self)->serve();
  return nullptr;
}

void Lanes::serve() noexcept {
  for (;;) {
    // Before the end and before jobs are looked for: what is published later is not slept through.
    const std::uint32_t seen = published_.load();
    if (stop_.load(std::memory_order_relaxed)) {
      return;
    }
    static_cast<void>(take_jobs());
    wait_for_jobs(seen);
  }
}

void Lanes::wait_for_jobs(std::uint32_t seen) noexcept {
  const auto any = [&] { return published_.load(std::memory_order_acquire) != seen; };
  if (spin(any)) {
    return;
  }
  sleepers_.fetch_add(1);
  published_.wait(seen);
  sleepers_.fetch_sub(1);
}

}  // namespace wgring::tun
