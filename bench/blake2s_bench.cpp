// BLAKE2s as the protocol uses it: the transcript hash, both macs, HMAC and what is derived by it.
#include <vector>

#include "bench/support/stage.hpp"
#include "crypto/blake2s.hpp"
#include "crypto/kdf.hpp"
#include "noise/messages.hpp"

namespace wgring::bench {
namespace {

const std::vector<std::uint8_t>& input() {
  static const std::vector<std::uint8_t> bytes(64 * 1024, 0x5a);
  return bytes;
}
constexpr ByteArray<32> key{1, 2, 3};

void hash(benchmark::State& state, std::size_t bytes) {
  ByteArray<32> digest{};
  measure(state, {.bytes = static_cast<std::int64_t>(bytes)},
          [&] { crypto::hash(digest, Bytes{input()}.first(bytes)); });
}

void mac(benchmark::State& state, std::size_t bytes) {
  ByteArray<16> tag{};
  measure(state, {.bytes = static_cast<std::int64_t>(bytes)},
          [&] { crypto::mac(tag, key, Bytes{input()}.first(bytes)); });
}

void hmac(benchmark::State& state, std::size_t bytes) {
  ByteArray<32> tag{};
  measure(state, {.bytes = static_cast<std::int64_t>(bytes)},
          [&] { crypto::hmac(tag, key, Bytes{input()}.first(bytes)); });
}

void kdf3(benchmark::State& state) {
  ByteArray<32> t1{};
  ByteArray<32> t2{};
  ByteArray<32> t3{};
  measure(state, {}, [&] { crypto::kdf3(t1, t2, t3, key, Bytes{input()}.first(32)); });
}

}  // namespace

void add_benchmarks() {
  for (const std::size_t bytes : {32U, 64U, 148U, 1024U, 65536U}) {
    add("hash/" + std::to_string(bytes), [bytes](benchmark::State& state) { hash(state, bytes); });
  }
  // mac1 of an initiation, mac1 of a response.
  for (const std::size_t bytes : {noise::InitiationLayout::mac1, noise::ResponseLayout::mac1}) {
    add("mac/" + std::to_string(bytes), [bytes](benchmark::State& state) { mac(state, bytes); });
  }
  add("hmac/32", [](benchmark::State& state) { hmac(state, 32); });
  add("kdf3/32", kdf3);
}

}  // namespace wgring::bench
