// Every backend makes the same bytes of a train, opens what another has sealed, and neither opens
// a segment with a wrong bit nor leaves plaintext of it.
//
//   | key 32 | counter 8 | bit 0: in place | place 2 and bit 1 of the fault | size 2 per segment |
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.hpp"
#include "crypto/aead.hpp"
#include "crypto/self_test.hpp"
#include "tests/crypto/backends.hpp"

namespace {

using namespace wgring;
using crypto::Aead;
using crypto::OpenSegment;
using crypto::SealSegment;
using crypto::tag_bytes;
using Buffer = std::vector<std::uint8_t>;

constexpr std::size_t head_bytes = 32 + 8 + 1 + 3;
constexpr std::size_t segments_max = 64;

struct Input {
  ByteArray<32> key{};
  std::uint64_t counter = 0;
  bool in_place = false;
  std::size_t fault_at = 0;
  std::uint8_t fault = 0;
  std::vector<Buffer> plains;
};

Input parse(Bytes data) {
  Input in;
  std::copy_n(data.begin(), in.key.size(), in.key.begin());
  in.counter = load_le64(data.data() + 32);
  in.in_place = (data[40] & 1U) != 0;
  in.fault_at = std::size_t{data[41]} << 8U | data[42];
  in.fault = static_cast<std::uint8_t>(1U << (data[43] & 7U));
  for (std::size_t at = head_bytes; at + 2 <= data.size() && in.plains.size() < segments_max;
       at += 2) {
    Buffer plain((std::size_t{data[at]} << 8U | data[at + 1]) % 2048);
    for (std::size_t i = 0; i < plain.size(); ++i) {
      plain[i] = static_cast<std::uint8_t>(data[(at + i) % data.size()] + i);
    }
    in.plains.push_back(std::move(plain));
  }
  return in;
}

std::vector<Buffer> seal(const Aead& aead, const Input& in) {
  std::vector<Buffer> sealed;
  std::vector<SealSegment> train;
  for (const Buffer& plain : in.plains) {
    sealed.emplace_back(plain.size() + tag_bytes);
    std::ranges::copy(plain, sealed.back().begin());
  }
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    train.push_back({.plain = in.in_place ? sealed[i].data() : in.plains[i].data(),
                     .sealed = sealed[i].data(),
                     .plain_bytes = in.plains[i].size(),
                     .counter = in.counter + i});
  }
  aead.seal(in.key, train);
  return sealed;
}

// The verdicts; `texts` are the sealed bytes before and what became of them after.
std::vector<bool> open(const Aead& aead, const Input& in, std::vector<Buffer>& texts) {
  std::vector<OpenSegment> train;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    train.push_back({.sealed = texts[i].data(),
                     .plain = texts[i].data(),
                     .sealed_bytes = texts[i].size(),
                     .counter = in.counter + i,
                     .opened = false});
  }
  aead.open(in.key, train);
  std::vector<bool> opened;
  std::ranges::transform(train, std::back_inserter(opened), &OpenSegment::opened);
  return opened;
}

void check_open(const Aead& aead, const Input& in, std::vector<Buffer> texts) {
  const std::vector<bool> opened = open(aead, in, texts);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    WG_ASSERT(opened[i] &&
              std::ranges::equal(in.plains[i], Bytes(texts[i]).first(in.plains[i].size())));
  }
}

void check_fault(const Aead& aead, const Input& in, std::vector<Buffer> texts) {
  const std::size_t spoilt = in.fault_at % texts.size();
  texts[spoilt][in.fault_at % texts[spoilt].size()] ^= in.fault;
  const Buffer before = texts[spoilt];
  const std::vector<bool> opened = open(aead, in, texts);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    WG_ASSERT(opened[i] == (i != spoilt));
  }
  const std::size_t size = in.plains[spoilt].size();
  const Bytes left = Bytes(texts[spoilt]).first(size);
  WG_ASSERT(std::ranges::all_of(left, [](std::uint8_t byte) { return byte == 0; }) ||
            std::ranges::equal(left, Bytes(before).first(size)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool ready = crypto::initialise().has_value();
  WG_ASSERT(ready);
  if (size < head_bytes + 2) {
    return 0;
  }
  const Input in = parse({data, size});
  const std::vector<Buffer> wanted = seal(crypto::aead_boringssl(), in);
  for (const Aead* aead : crypto::test_backends::all()) {
    WG_ASSERT(seal(*aead, in) == wanted);
    check_open(*aead, in, wanted);
    check_fault(*aead, in, wanted);
  }
  return 0;
}
