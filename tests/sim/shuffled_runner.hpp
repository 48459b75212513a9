// ShuffledRunner: divides everything, and runs the jobs one after the other in a random order. What
// depends on the order of jobs, or on one being done before another begins, cannot hide from it.
#pragma once

#include <numeric>
#include <utility>
#include <vector>

#include "noise/jobs.hpp"
#include "tests/sim/random.hpp"

namespace wgring::sim {

class ShuffledRunner {
 public:
  explicit ShuffledRunner(std::uint64_t seed) noexcept : random_(seed) {}

  // A loan of this object. `threads` decides how fine the work is cut.
  [[nodiscard]] noise::JobRunner runner(std::uint32_t threads) noexcept {
    return {.context = this,
            .threads = threads,
            .worth = [](void*, std::size_t bytes) noexcept { return bytes > 0; },
            .run =
                [](void* self, const noise::Jobs& jobs) noexcept {
                  static_cast<ShuffledRunner*>(self)->run(jobs);
                }};
  }

  std::uint64_t batches = 0;  // of more than one job
  std::uint64_t jobs_run = 0;

 private:
  void run(const noise::Jobs& jobs) noexcept {
    std::vector<std::size_t> order(jobs.count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t left = order.size(); left > 1; --left) {
      std::swap(order[left - 1], order[random_.below(left)]);
    }
    for (const std::size_t index : order) {
      jobs.run(jobs.work, index);
    }
    batches += 1;
    jobs_run += jobs.count;
  }

  Random random_;
};

}  // namespace wgring::sim
