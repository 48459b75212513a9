// The core as a sequence of operations: a simulated world (tests/sim/scenario.hpp), every choice of
// which is two bytes of the input. The world's own ledger is the model: no packet arrives twice,
// where it does not belong, or changed; none is missing without a counter; no deadline is missed;
// and in the end all speak again.
#include <algorithm>
#include <cstdio>

#include "tests/sim/scenario.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A step takes several choices; what is left of them is for the end.
  const int steps = static_cast<int>(std::min<std::size_t>(1 + size / 16, 40));
  const wgring::sim::ScenarioResult result =
      wgring::sim::Scenario({.seed = 1, .steps = steps, .choices = {data, size}}).run();
  for (const std::string& failure : result.failures) {
    std::fprintf(stderr, "%s\n", failure.c_str());
  }
  WG_ASSERT(result.failures.empty());
  return 0;
}
