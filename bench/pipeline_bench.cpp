// The whole path of a packet inside the daemon, sealed and opened, on fake ends.
//
//   pipeline/BACKEND/LOAD/SESSIONS    packets and bits per second of one core; `allocs` must be 0
//   share/BACKEND/LOAD/SESSIONS       what of that is the AEAD: per packet, in turns, the pipeline,
//                                     the AEAD inside it (`inside`), and the same calls of the AEAD
//                                     on the same bytes with nothing around them (`raw`)
//
// `hash` is of the first turns' sealed and delivered bytes: the same for every backend.
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <map>

#include "bench/pipeline/pipeline.hpp"
#include "bench/pipeline/watched_aead.hpp"
#include "bench/support/stage.hpp"

namespace wgring::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int hashed_turns = 4;

std::string name_of(const Load& load) {
  const bool super = load.kind == Load::Kind::super;
  return (super ? "super" : std::to_string(load.bytes)) + "/" + std::to_string(load.sessions);
}

// Warms everything up as well. False: not what another backend made of the same load.
bool check(benchmark::State& state, Pipeline& pipeline, const Load& load) {
  static std::map<std::string, std::uint64_t> known;
  const std::uint64_t hash = pipeline.hash_of_turns(hashed_turns);
  char text[32];
  std::snprintf(text, sizeof text, "hash %016" PRIx64, hash);
  state.SetLabel(text);
  return known.emplace(name_of(load), hash).first->second == hash;
}

void run(benchmark::State& state, const crypto::Aead& aead, const Load& load) {
  Pipeline pipeline(aead, load);
  if (!check(state, pipeline, load)) {
    state.SkipWithError("another result than that of the backend before");
    return;
  }
  const Pipeline::Totals before = pipeline.totals();
  const auto packets = static_cast<std::int64_t>(pipeline.packets_per_turn());
  measure(state, {.items = packets}, [&] { pipeline.turn(); });
  if (state.counters["allocs"].value != 0) {
    state.SkipWithError("the packet path asked for memory");
    return;
  }
  const Pipeline::Totals& after = pipeline.totals();
  const double count = static_cast<double>(after.packets - before.packets);
  using benchmark::Counter;
  state.counters["Gbit"] =
      Counter(count * static_cast<double>(load.bytes) * 8e-9, Counter::kIsRate);
  state.counters["per_train"] = count / static_cast<double>(after.trains - before.trains);
  state.counters["per_run"] = count / static_cast<double>(after.runs - before.runs);
}

// Time of `turns` calls of body, per packet.
template <typename Body>
std::chrono::nanoseconds time_of(int turns, Body&& body) {
  const Clock::time_point before = Clock::now();
  for (int i = 0; i < turns; ++i) {
    body();
  }
  return Clock::now() - before;
}

void share(benchmark::State& state, const crypto::Aead& aead, const Load& load) {
  constexpr int turns = 16;  // of each before the next: the noise of a machine hits all alike
  WatchedAead watched(aead);
  Pipeline pipeline(aead, load);
  Pipeline inspected(watched.aead(), load);
  static_cast<void>(check(state, pipeline, load));
  static_cast<void>(inspected.hash_of_turns(hashed_turns));
  watched.start_recording();
  inspected.turn();
  watched.stop_recording();

  std::chrono::nanoseconds whole{};
  std::chrono::nanoseconds raw{};
  const std::chrono::nanoseconds inside_before = watched.taken();
  for (auto _ : state) {
    const auto one = time_of(turns, [&] { pipeline.turn(); });
    raw += time_of(turns, [&] { watched.replay(); });
    static_cast<void>(time_of(turns, [&] { inspected.turn(); }));
    whole += one;
    state.SetIterationTime(std::chrono::duration<double>(one).count());
  }
  const auto inside = watched.taken() - inside_before;
  const double packets = static_cast<double>(state.iterations()) * turns *
                         static_cast<double>(pipeline.packets_per_turn());
  state.SetItemsProcessed(static_cast<std::int64_t>(packets));
  state.counters["whole_ns"] = static_cast<double>(whole.count()) / packets;
  state.counters["inside_ns"] = static_cast<double>(inside.count()) / packets;
  state.counters["raw_ns"] = static_cast<double>(raw.count()) / packets;
  state.counters["share"] = static_cast<double>(raw.count()) / static_cast<double>(whole.count());
  state.counters["inside/raw"] =
      static_cast<double>(inside.count()) / static_cast<double>(raw.count());
}

}  // namespace

void add_benchmarks() {
  for (const crypto::Aead* const aead : backends()) {
    for (const std::uint32_t sessions : {1U, 1000U}) {
      for (const Load& load :
           {Load{.bytes = 64, .sessions = sessions}, Load{.bytes = 512, .sessions = sessions},
            Load{.bytes = 1420, .sessions = sessions},
            Load{.kind = Load::Kind::super, .sessions = sessions}}) {
        const std::string tail = "/" + std::string(aead->name) + "/" + name_of(load);
        add("pipeline" + tail, [=](benchmark::State& state) { run(state, *aead, load); });
        add("share" + tail, [=](benchmark::State& state) {
          share(state, *aead, load);
        })->UseManualTime();
      }
    }
  }
}

}  // namespace wgring::bench
