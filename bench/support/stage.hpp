// What all benchmarks share: one way to measure and to report, whatever the stage.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <benchmark/benchmark.h>

#include "bench/support/allocations.hpp"
#include "crypto/aead.hpp"

namespace wgring::bench {

// Of everything that is drawn: packets, keys, tables. The same on every machine.
inline constexpr std::uint64_t seed = 20'260'101;

// Each program registers its own here; main() is in stage.cpp.
void add_benchmarks();

// The backends that run on this machine; those that do not are named
// on stderr, once.
[[nodiscard]] std::span<const crypto::Aead* const> backends();

// What one iteration does. `per_item` is time per item, whatever an item is: a packet, a lookup.
struct Work {
  std::int64_t items = 1;
  std::int64_t bytes = 0;  // 0: no rate of bytes is shown
};
void report(benchmark::State& state, const Work& work, std::uint64_t allocations_made);

template <typename Body>
void measure(benchmark::State& state, const Work& work, Body&& body) {
  const std::uint64_t before = allocations();
  for (auto _ : state) {
    body();
    benchmark::ClobberMemory();
  }
  report(state, work, allocations() - before);
}

// With a preparation before each iteration that is neither timed nor counted. Stopping the clock
// costs near a microsecond, some of it measured: for bodies that take many.
template <typename Prepare, typename Body>
void measure_prepared(benchmark::State& state, const Work& work, Prepare&& prepare, Body&& body) {
  std::uint64_t made = 0;
  for (auto _ : state) {
    state.PauseTiming();
    prepare();
    const std::uint64_t before = allocations();
    state.ResumeTiming();
    body();
    benchmark::ClobberMemory();
    made += allocations() - before;
  }
  report(state, work, made);
}

// A name is made of parts: add("seal/boringssl/64", ...).
template <typename Run>
benchmark::internal::Benchmark* add(const std::string& name, Run&& run) {
  return benchmark::RegisterBenchmark(name.c_str(), std::forward<Run>(run));
}

}  // namespace wgring::bench
