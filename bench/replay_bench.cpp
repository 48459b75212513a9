// The replay window, by the order in which counters come.
#include <vector>

#include "bench/support/stage.hpp"
#include "noise/replay.hpp"
#include "tests/sim/random.hpp"

namespace wgring::bench {
namespace {

constexpr std::size_t batch = 1024;

// Offsets that repeat every `batch` counters; the base moves on with each round.
void accept(benchmark::State& state, const std::vector<std::uint64_t>& offsets,
            std::uint64_t step) {
  noise::ReplayWindow window;
  std::uint64_t base = 0;
  std::uint64_t accepted = 0;
  measure(state, {.items = batch}, [&] {
    for (const std::uint64_t offset : offsets) {
      accepted += window.accept(base + offset) ? 1U : 0U;
    }
    base += step;
  });
  state.counters["accepted"] =
      benchmark::Counter(static_cast<double>(accepted) / batch, benchmark::Counter::kAvgIterations);
}

std::vector<std::uint64_t> in_order() {
  std::vector<std::uint64_t> offsets(batch);
  for (std::size_t i = 0; i < batch; ++i) {
    offsets[i] = i;
  }
  return offsets;
}

// Each counter is late by up to `reach` places.
std::vector<std::uint64_t> shuffled(std::size_t reach) {
  std::vector<std::uint64_t> offsets = in_order();
  sim::Random random(seed);
  for (std::size_t i = 0; i + 1 < batch; ++i) {
    const std::size_t most = std::min(reach, batch - 1 - i);
    std::swap(offsets[i], offsets[i + random.below(most + 1)]);
  }
  return offsets;
}

std::vector<std::uint64_t> in_leaps(std::uint64_t leap) {
  std::vector<std::uint64_t> offsets(batch);
  for (std::size_t i = 0; i < batch; ++i) {
    offsets[i] = i * leap;
  }
  return offsets;
}

}  // namespace

void add_benchmarks() {
  const auto named = [](const std::string& name, std::vector<std::uint64_t> offsets,
                        std::uint64_t step) {
    add("replay/" + name, [offsets = std::move(offsets), step](benchmark::State& state) {
      accept(state, offsets, step);
    });
  };
  named("in_order", in_order(), batch);
  named("late_by_8", shuffled(8), batch);
  named("late_by_512", shuffled(512), batch);
  named("leaps_of_1000", in_leaps(1000), batch * 1000);
  named("all_seen_before", in_order(), 0);
}

}  // namespace wgring::bench
