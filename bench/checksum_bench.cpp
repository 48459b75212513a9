// The internet checksum, by length: headers, packets, the largest packet.
#include <vector>

#include "base/checksum.hpp"
#include "bench/support/stage.hpp"

namespace wgring::bench {
namespace {

void checksum(benchmark::State& state, std::size_t bytes) {
  const std::vector<std::uint8_t> data(bytes, 0x5a);
  measure(state, {.bytes = static_cast<std::int64_t>(bytes)}, [&] {
    std::uint16_t sum = InternetSum().add(data).folded();
    benchmark::DoNotOptimize(sum);
  });
}

}  // namespace

void add_benchmarks() {
  for (const std::size_t bytes : {20U, 40U, 64U, 512U, 1420U, 65535U}) {
    add("checksum/" + std::to_string(bytes),
        [bytes](benchmark::State& state) { checksum(state, bytes); });
  }
}

}  // namespace wgring::bench
