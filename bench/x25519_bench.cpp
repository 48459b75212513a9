// X25519: most of what a handshake costs.
#include "bench/support/stage.hpp"
#include "crypto/x25519.hpp"
#include "tests/sim/random.hpp"

namespace wgring::bench {
namespace {

void shared_secret(benchmark::State& state) {
  sim::Random random(seed);
  ByteArray<32> ours{};
  ByteArray<32> theirs{};
  random.fill(ours);
  random.fill(theirs);
  crypto::PublicKey public_key{};
  crypto::x25519_public(public_key, theirs);
  ByteArray<32> shared{};
  measure(state, {}, [&] {
    bool agreed = crypto::x25519(shared, ours, public_key);
    benchmark::DoNotOptimize(agreed);
  });
}

void public_key(benchmark::State& state) {
  sim::Random random(seed);
  ByteArray<32> ours{};
  random.fill(ours);
  crypto::PublicKey out{};
  measure(state, {}, [&] { crypto::x25519_public(out, ours); });
}

}  // namespace

void add_benchmarks() {
  add("x25519/shared_secret", shared_secret);
  add("x25519/public_key", public_key);
}

}  // namespace wgring::bench
