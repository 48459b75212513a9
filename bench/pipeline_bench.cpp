// The whole path of a packet inside the daemon, sealed and opened, on fake ends.
//
//   pipeline/BACKEND/LOAD/SESSIONS    packets and bits per second of one core; `allocs` must be 0
//   share/BACKEND/LOAD/SESSIONS       what of that is the AEAD: per packet, in turns, the pipeline,
//                                     the AEAD inside it (`inside`), and the same calls of the AEAD
//                                     on the same bytes with nothing around them (`raw`)
//   lanes/BACKEND/LOAD/SESSIONS       the pipeline with 0, 1 and 3 lanes, taking turns: nanoseconds
//                                     per packet, and how many times as fast 2 and 4 threads are
//   shards/BACKEND/LOAD/SESSIONS      one pipeline, and two on threads of their own with half the
//                                     sessions each, taking turns; nothing is handed over
//
// `hash` is of the first turns' sealed and delivered bytes: the same for every backend.
#include <algorithm>
#include <barrier>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "bench/pipeline/pipeline.hpp"
#include "bench/pipeline/watched_aead.hpp"
#include "bench/support/stage.hpp"
#include "crypto/self_test.hpp"

namespace wgring::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int hashed_turns = 4;

std::string name_of(const Load& load) {
  const bool super = load.kind == Load::Kind::super;
  const std::string kind = !super             ? std::to_string(load.bytes)
                           : load.supers == 1 ? "super"
                                              : "supers:" + std::to_string(load.supers);
  return kind + "/" + std::to_string(load.sessions);
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

// Blocks of turns, each in nanoseconds per packet. Medians, for the other tenants of a machine
// take the processor away for longer than a block lasts.
class Blocks {
 public:
  explicit Blocks(double packets) : packets_(packets) {}
  void add(std::chrono::nanoseconds block) {
    all_.push_back(static_cast<double>(block.count()) / packets_);
  }
  [[nodiscard]] double median() {
    const auto middle = all_.begin() + static_cast<std::ptrdiff_t>(all_.size() / 2);
    std::ranges::nth_element(all_, middle);
    return *middle;
  }

 private:
  double packets_;
  std::vector<double> all_;
};

template <typename Body>
std::chrono::nanoseconds time_of(int turns, Body&& body) {
  const Clock::time_point before = Clock::now();
  for (int i = 0; i < turns; ++i) {
    body();
  }
  return Clock::now() - before;
}

void share(benchmark::State& state, const crypto::Aead& aead, const Load& load) {
  constexpr int turns = 8;  // of each before the next: what disturbs one disturbs all
  WatchedAead watched(aead);
  Pipeline pipeline(aead, load);
  Pipeline inspected(watched.aead(), load);
  static_cast<void>(check(state, pipeline, load));
  static_cast<void>(inspected.hash_of_turns(hashed_turns));
  watched.start_recording();
  inspected.turn();
  watched.stop_recording();

  const double packets = turns * static_cast<double>(pipeline.packets_per_turn());
  Blocks whole(packets);
  Blocks raw(packets);
  Blocks inside(packets);
  for (auto _ : state) {
    const auto one = time_of(turns, [&] { pipeline.turn(); });
    whole.add(one);
    raw.add(time_of(turns, [&] { watched.replay(); }));
    const auto before = watched.taken();
    static_cast<void>(time_of(turns, [&] { inspected.turn(); }));
    inside.add(watched.taken() - before);
    state.SetIterationTime(std::chrono::duration<double>(one).count());
  }
  state.counters["whole_ns"] = whole.median();
  state.counters["inside_ns"] = inside.median();
  state.counters["raw_ns"] = raw.median();
  state.counters["share"] = raw.median() / whole.median();
  state.counters["inside/raw"] = inside.median() / raw.median();
}

constexpr std::uint32_t lane_counts[] = {0, 1, 3};

void lanes(benchmark::State& state, const crypto::Aead& aead, const Load& load) {
  constexpr int turns = 32;  // the first finds the lanes asleep
  std::vector<std::unique_ptr<Pipeline>> pipelines;
  std::vector<Blocks> blocks;
  for (const std::uint32_t count : lane_counts) {
    pipelines.push_back(std::make_unique<Pipeline>(aead, load, count));
    blocks.emplace_back(turns * static_cast<double>(pipelines.back()->packets_per_turn()));
    if (!check(state, *pipelines.back(), load)) {
      state.SkipWithError("another result than that without lanes");
      return;
    }
  }
  for (auto _ : state) {
    std::chrono::nanoseconds sum{};
    for (std::size_t i = 0; i < pipelines.size(); ++i) {
      const auto block = time_of(turns, [&] { pipelines[i]->turn(); });
      blocks[i].add(block);
      sum += block;
    }
    state.SetIterationTime(std::chrono::duration<double>(sum).count());
  }
  const double alone = blocks[0].median();
  state.counters["alone_ns"] = alone;
  for (std::size_t i = 1; i < pipelines.size(); ++i) {
    const std::string threads = std::to_string(lane_counts[i] + 1);
    state.counters["threads" + threads] = alone / blocks[i].median();
    const tun::LaneCounters& counted = pipelines[i]->lanes();
    state.counters["taken" + threads] =
        static_cast<double>(counted.jobs) / static_cast<double>(counted.batches);
  }
}

// A second shard's thread: the body on demand, at the same time as the caller's.
class OtherThread {
 public:
  template <typename Body>
  explicit OtherThread(Body body)
      : thread_([this, body] {
          crypto::prepare_thread();
          for (both_.arrive_and_wait(); !stop_; both_.arrive_and_wait()) {
            body();
            both_.arrive_and_wait();
          }
        }) {}
  OtherThread(const OtherThread&) = delete;
  OtherThread& operator=(const OtherThread&) = delete;
  ~OtherThread() {
    stop_ = true;
    both_.arrive_and_wait();
    thread_.join();
  }
  void start() { both_.arrive_and_wait(); }
  void wait() { both_.arrive_and_wait(); }

 private:
  std::barrier<> both_{2};
  bool stop_ = false;  // before a barrier, read behind it
  std::thread thread_;
};

void shards(benchmark::State& state, const crypto::Aead& aead, const Load& load) {
  constexpr int turns = 32;
  Load half = load;
  half.sessions = load.sessions / 2;
  Pipeline alone(aead, load);
  Pipeline one(aead, half);
  Pipeline two(aead, half);
  for (Pipeline* const pipeline : {&alone, &one, &two}) {
    static_cast<void>(pipeline->hash_of_turns(hashed_turns));
  }
  OtherThread other([&] {
    for (int i = 0; i < turns; ++i) {
      two.turn();
    }
  });
  const double packets = turns * static_cast<double>(alone.packets_per_turn());
  Blocks by_one(packets);
  Blocks by_two(2 * packets);
  for (auto _ : state) {
    const auto first = time_of(turns, [&] { alone.turn(); });
    const auto second = time_of(1, [&] {
      other.start();
      static_cast<void>(time_of(turns, [&] { one.turn(); }));
      other.wait();
    });
    by_one.add(first);
    by_two.add(second);
    state.SetIterationTime(std::chrono::duration<double>(first + second).count());
  }
  state.counters["alone_ns"] = by_one.median();
  state.counters["threads2"] = by_one.median() / by_two.median();
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
    for (const std::uint32_t sessions : {1U, 1000U}) {
      for (const Load& load :
           {Load{.bytes = 1420, .sessions = sessions},
            Load{.kind = Load::Kind::super, .sessions = sessions},
            Load{.kind = Load::Kind::super, .sessions = sessions, .supers = 8}}) {
        add("lanes/" + std::string(aead->name) + "/" + name_of(load), [=](benchmark::State& state) {
          lanes(state, *aead, load);
        })->UseManualTime();
        if (sessions > 1) {
          add("shards/" + std::string(aead->name) + "/" + name_of(load),
              [=](benchmark::State& state) { shards(state, *aead, load); })
              ->UseManualTime();
        }
      }
    }
  }
}

}  // namespace wgring::bench
