// Each ChaCha20-Poly1305 backend on trains of one key: per packet size, train length, direction,
// in place and not. For a comparison let the runs alternate, and read the medians:
//   bench_aead --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true
//              --benchmark_report_aggregates_only=true
#include <string>
#include <vector>

#include "bench/support/stage.hpp"
#include "crypto/aead.hpp"

namespace wgring::bench {
namespace {

using crypto::Aead;
using crypto::OpenSegment;
using crypto::SealSegment;
using crypto::tag_bytes;

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

Work work_of(const Shape& shape) {
  return {.items = static_cast<std::int64_t>(shape.packets),
          .bytes = static_cast<std::int64_t>(shape.packets * shape.plain_bytes)};
}

void seal(benchmark::State& state, const Shape& shape) {
  Buffers buffers(shape);
  const std::vector<SealSegment> train = seal_segments(buffers, shape);
  measure(state, work_of(shape), [&] { shape.aead->seal(key, train); });
}

// Out of place the same sealed bytes are opened again and again. In place a train is only good
// once, so what is opened there is sealed first and the seal is not timed: use long trains.
void open(benchmark::State& state, const Shape& shape) {
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
  const auto open_train = [&] { shape.aead->open(key, opens); };
  if (shape.place == Place::same) {
    measure_prepared(state, work_of(shape), [&] { shape.aead->seal(key, seals); }, open_train);
  } else {
    shape.aead->seal(key, seals);
    measure(state, work_of(shape), open_train);
  }
  for (const OpenSegment& segment : opens) {
    if (!segment.opened) {
      state.SkipWithError("an honest packet was refused");
    }
  }
}

void add_of(const Aead& aead) {
  for (const std::size_t plain_bytes : {64U, 512U, 1420U, 8944U}) {
    for (const std::size_t packets : {1U, 8U, 64U}) {
      for (const Place place : {Place::apart, Place::same}) {
        const Shape shape{
            .aead = &aead, .plain_bytes = plain_bytes, .packets = packets, .place = place};
        const std::string tail = std::string(aead.name) + "/" + std::to_string(plain_bytes) + "x" +
                                 std::to_string(packets) +
                                 (place == Place::same ? "/in_place" : "/apart");
        add("seal/" + tail, [shape](benchmark::State& state) { seal(state, shape); });
        if (place == Place::apart || packets == 64) {
          add("open/" + tail, [shape](benchmark::State& state) { open(state, shape); });
        }
      }
    }
  }
}

}  // namespace

void add_benchmarks() {
  for (const Aead* const aead : backends()) {
    add_of(*aead);
  }
}

}  // namespace wgring::bench
