// sim --seed=N [--seeds=COUNT] [--steps=M]: scenarios, one per seed. A seed that fails is a bug
// report: the same seed and steps do the same again.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/sim/scenario.hpp"

namespace {

struct Arguments {
  std::uint64_t seed = 1;
  std::uint64_t seeds = 1;
  int steps = 150;
  bool valid = true;
};

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const std::size_t equals = word.find('=');
    char* end = nullptr;
    const std::uint64_t value =
        equals == std::string_view::npos ? 0 : std::strtoull(words[i] + equals + 1, &end, 10);
    const std::string_view name = word.substr(0, equals);
    const bool is_number = end != nullptr && *end == '\0' && end != words[i] + equals + 1;
    if (is_number && name == "--seed") {
      arguments.seed = value;
    } else if (is_number && name == "--seeds") {
      arguments.seeds = value;
    } else if (is_number && name == "--steps") {
      arguments.steps = static_cast<int>(value);
    } else {
      arguments.valid = false;
    }
  }
  return arguments;
}

}  // namespace

int main(int count, char** words) {
  const Arguments arguments = parse(count, words);
  if (!arguments.valid || arguments.seeds == 0) {
    std::fprintf(stderr, "usage: sim [--seed=FIRST] [--seeds=COUNT] [--steps=STEPS]\n");
    return 2;
  }
  wgring::sim::ScenarioResult total;
  int failed = 0;
  for (std::uint64_t seed = arguments.seed; seed < arguments.seed + arguments.seeds; ++seed) {
    wgring::sim::Scenario scenario({.seed = seed, .steps = arguments.steps});
    const wgring::sim::ScenarioResult result = scenario.run();
    total.datagrams += result.datagrams;
    total.delivered += result.delivered;
    total.handshakes += result.handshakes;
    total.elapsed += result.elapsed;
    if (result.failures.empty()) {
      continue;
    }
    failed += 1;
    std::printf("FAILED: sim --seed=%llu --steps=%d\n", static_cast<unsigned long long>(seed),
                arguments.steps);
    for (const std::string& failure : result.failures) {
      std::printf("  %s\n", failure.c_str());
    }
  }
  std::printf(
      "%llu seeds, %d failed: %llu datagrams, %llu packets delivered, %llu handshakes, "
      "%lld virtual hours\n",
      static_cast<unsigned long long>(arguments.seeds), failed,
      static_cast<unsigned long long>(total.datagrams),
      static_cast<unsigned long long>(total.delivered),
      static_cast<unsigned long long>(total.handshakes),
      static_cast<long long>(total.elapsed.count() / 3'600'000'000'000));
  // Worlds in which nothing happens would pass every check.
  const bool is_alive = total.delivered > 0 && total.handshakes > 0;
  return failed == 0 && is_alive ? 0 : 1;
}
