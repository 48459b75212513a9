// Each ChaCha20-Poly1305 backend on trains of one key: per packet size, train length, direction,
// in place and not. For a comparison let the runs alternate, and read the medians:
//   bench_aead --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true
//              --benchmark_report_aggregates_only=true
#include <cstdio>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "crypto/aead.hpp"
#include "crypto/self_test.hpp"

namespace wgring::crypto {
namespace {

enum class Place { apart, same };

struct Shape {
  const Aead* aead;
  std::size_t plain_bytes;
  std::size_t packets;
  Place place;
};

// Packets at the stride of an outgoing train: header of 16 bytes in front, tag behind.
class Buffers {
 public:
  explicit Buffers(const Shape& shape)
      : stride_(16 + shape.plain_bytes + tag_bytes),
        sealed_(stride_ * shape.packets, 0x5a),
        plain_(stride_ * shape.packets, 0x5a) {}

  std::uint8_t* sealed(std::size_t packet) { return sealed_.data() + packet * stride_ + 16; }
  std::uint8_t* plain(std::size_t packet, Place place) {
    return place == Place::same ? sealed(packet) : plain_.data() + packet * stride_ + 16;
  }

 private:
  std::size_t stride_;
  std::vector<std::uint8_t> sealed_;
  std::vector<std::uint8_t> plain_;
};

constexpr ByteArray<32> key{1, 2, 3};

std::vector<SealSegment> seal_segments(Buffers& buffers, const Shape& shape) {
  std::vector<SealSegment> train(shape.packets);
  for (std::size_t i = 0; i < train.size(); ++i) {
    train[i] = {.plain = buffers.plain(i, shape.place),
                .sealed = buffers.sealed(i),
                .plain_bytes = shape.plain_bytes,
                .counter = i};
  }
  return train;
}

void count(benchmark::State& state, const Shape& shape) {
  const auto packets = static_cast<std::int64_t>(shape.packets);
  state.SetItemsProcessed(state.iterations() * packets);
  state.SetBytesProcessed(state.iterations() * packets *
                          static_cast<std::int64_t>(shape.plain_bytes));
  state.counters["per_packet"] =
      benchmark::Counter(static_cast<double>(state.iterations() * packets),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void seal(benchmark::State& state, Shape shape) {
  Buffers buffers(shape);
  const std::vector<SealSegment> train = seal_segments(buffers, shape);
  for (auto _ : state) {
    shape.aead->seal(key, train);
    benchmark::ClobberMemory();
  }
  count(state, shape);
}

// Out of place the same sealed bytes are opened again and again. In place a train is only good
// once, so what is opened there is sealed first and the seal is not timed: use long trains.
void open(benchmark::State& state, Shape shape) {
  Buffers buffers(shape);
  const std::vector<SealSegment> seals = seal_segments(buffers, shape);
  std::vector<OpenSegment> opens(shape.packets);
  for (std::size_t i = 0; i < opens.size(); ++i) {
    opens[i] = {.sealed = buffers.sealed(i),
                .plain = buffers.plain(i, shape.place),
                .sealed_bytes = shape.plain_bytes + tag_bytes,
                .counter = i,
                .opened = false};
  }
  shape.aead->seal(key, seals);
  for (auto _ : state) {
    if (shape.place == Place::same) {
      state.PauseTiming();
      shape.aead->seal(key, seals);
      state.ResumeTiming();
    }
    shape.aead->open(key, opens);
    benchmark::ClobberMemory();
  }
  for (const OpenSegment& segment : opens) {
    if (!segment.opened) {
      state.SkipWithError("an honest packet was refused");
    }
  }
  count(state, shape);
}

void add(const Aead& aead) {
  for (const std::size_t plain_bytes : {64U, 512U, 1424U, 8944U}) {
    for (const std::size_t packets : {1U, 8U, 64U}) {
      for (const Place place : {Place::apart, Place::same}) {
        const Shape shape{
            .aead = &aead, .plain_bytes = plain_bytes, .packets = packets, .place = place};
        const std::string tail = std::string(aead.name) + "/" + std::to_string(plain_bytes) + "x" +
                                 std::to_string(packets) +
                                 (place == Place::same ? "/in_place" : "/apart");
        benchmark::RegisterBenchmark(("seal/" + tail).c_str(), seal, shape);
        if (place == Place::apart || packets == 64) {
          benchmark::RegisterBenchmark(("open/" + tail).c_str(), open, shape);
        }
      }
    }
  }
}

}  // namespace
}  // namespace wgring::crypto

int main(int argc, char** argv) {
  namespace crypto = wgring::crypto;
  if (!crypto::initialise()) {
    return 1;
  }
  for (const char* name : {"boringssl", "ipsec-mb", "sodium"}) {
    const wgring::Result<const crypto::Aead*> chosen = crypto::choose_aead(name);
    if (!chosen) {
      std::fprintf(stderr, "%s is not measured: %s\n", name, chosen.error().what.data());
      continue;
    }
    crypto::add(**chosen);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
