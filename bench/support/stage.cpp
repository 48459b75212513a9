#include "bench/support/stage.hpp"

#include <cstdio>
#include <vector>

#include "crypto/self_test.hpp"

namespace wgring::bench {

std::span<const crypto::Aead* const> backends() {
  static const std::vector<const crypto::Aead*> found = [] {
    std::vector<const crypto::Aead*> list;
    for (const char* name : {"boringssl", "ipsec-mb", "sodium"}) {
      const Result<const crypto::Aead*> chosen = crypto::choose_aead(name);
      if (chosen) {
        list.push_back(*chosen);
      } else {
        std::fprintf(stderr, "%s is not measured: %s\n", name, chosen.error().what.data());
      }
    }
    // The handshake's own messages follow the last choice: back to what a user would get.
    static_cast<void>(crypto::choose_aead("auto"));
    return list;
  }();
  return found;
}

void report(benchmark::State& state, const Work& work, std::uint64_t allocations_made) {
  using benchmark::Counter;
  const auto items = state.iterations() * work.items;
  state.SetItemsProcessed(items);
  if (work.bytes > 0) {
    state.SetBytesProcessed(state.iterations() * work.bytes);
  }
  state.counters["per_item"] =
      Counter(static_cast<double>(items), Counter::kIsRate | Counter::kInvert);
  state.counters["allocs"] =
      Counter(static_cast<double>(allocations_made), Counter::kAvgIterations);
}

}  // namespace wgring::bench

int main(int argc, char** argv) {
  if (!wgring::crypto::initialise()) {
    std::fputs("crypto/ did not pass its self-test\n", stderr);
    return 1;
  }
  wgring::crypto::prepare_thread();
  benchmark::AddCustomContext("seed", std::to_string(wgring::bench::seed));
  wgring::bench::add_benchmarks();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
