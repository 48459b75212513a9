// Trains: every length, in place and out of place, tampered with, and backend against backend.
#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "crypto/aead.hpp"
#include "tests/crypto/backends.hpp"
#include "tests/support/json_vectors.hpp"

namespace wgring::crypto {
namespace {

using Buffer = test::Buffer;

// Every tail of a block, and the sizes that tunnels use: MTU 1420, jumbo, and the largest.
std::vector<std::size_t> lengths() {
  std::vector<std::size_t> all(301);
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = i;
  }
  all.insert(all.end(), {1420, 8920, 65000});
  return all;
}

// A fixed seed: what is random here is only the bytes, and a failure repeats.
class Bytesource {
 public:
  explicit Bytesource(std::uint64_t seed) : engine_(seed) {}
  Buffer bytes(std::size_t size) {
    Buffer out(size);
    std::ranges::generate(out, [&] { return static_cast<std::uint8_t>(engine_()); });
    return out;
  }
  ByteArray<32> key() {
    ByteArray<32> out{};
    copy_bytes(out, bytes(out.size()));
    return out;
  }
  std::uint64_t number() { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

Buffer seal_one(const Aead& aead, const ByteArray<32>& key, const Buffer& plain,
                std::uint64_t counter) {
  Buffer sealed(plain.size() + tag_bytes, 0xaa);
  const SealSegment segment{.plain = plain.data(),
                            .sealed = sealed.data(),
                            .plain_bytes = plain.size(),
                            .counter = counter};
  aead.seal(key, std::span(&segment, 1));
  return sealed;
}

class Train : public ::testing::TestWithParam<const Aead*> {
 protected:
  const Aead& aead_ = *GetParam();
  Bytesource source_{20240229};
};

TEST_P(Train, opens_what_it_sealed_at_every_length) {
  for (const std::size_t length : lengths()) {
    SCOPED_TRACE(length);
    const ByteArray<32> key = source_.key();
    const Buffer plain = source_.bytes(length);
    const std::uint64_t counter = source_.number();
    const Buffer sealed = seal_one(aead_, key, plain, counter);

    // One byte more than is written, to see that it stays.
    Buffer in_place = plain;
    in_place.resize(length + tag_bytes + 1, 0xaa);
    const SealSegment seal{.plain = in_place.data(),
                           .sealed = in_place.data(),
                           .plain_bytes = length,
                           .counter = counter};
    aead_.seal(key, std::span(&seal, 1));
    EXPECT_TRUE(equal_public(sealed, Bytes(in_place).first(sealed.size())));
    EXPECT_EQ(in_place.back(), 0xaa);

    Buffer opened(length + 1, 0xaa);
    OpenSegment open{.sealed = sealed.data(),
                     .plain = opened.data(),
                     .sealed_bytes = sealed.size(),
                     .counter = counter,
                     .opened = false};
    aead_.open(key, std::span(&open, 1));
    EXPECT_TRUE(open.opened);
    EXPECT_TRUE(equal_public(plain, Bytes(opened).first(length)));
    EXPECT_EQ(opened.back(), 0xaa);

    open.sealed = in_place.data();
    open.plain = in_place.data();
    open.opened = false;
    aead_.open(key, std::span(&open, 1));
    EXPECT_TRUE(open.opened);
    EXPECT_TRUE(equal_public(plain, Bytes(in_place).first(length)));
  }
}

// In each length: a bit of the tag, of the first byte, of a random byte; the counter; the key.
TEST_P(Train, refuses_what_was_tampered_with) {
  for (const std::size_t length : lengths()) {
    SCOPED_TRACE(length);
    const ByteArray<32> key = source_.key();
    const Buffer plain = source_.bytes(length);
    const std::uint64_t counter = source_.number();
    const Buffer sealed = seal_one(aead_, key, plain, counter);
    const auto expect_refused = [&](Buffer forged, const ByteArray<32>& with_key,
                                    std::uint64_t with_counter, bool in_place) {
      Buffer elsewhere(length, 0x55);
      MutableBytes output = in_place ? MutableBytes(forged).first(length) : elsewhere;
      const Buffer before(output.begin(), output.end());
      OpenSegment open{.sealed = forged.data(),
                       .plain = output.data(),
                       .sealed_bytes = forged.size(),
                       .counter = with_counter,
                       .opened = true};
      aead_.open(with_key, std::span(&open, 1));
      EXPECT_FALSE(open.opened);
      EXPECT_TRUE(equal_public(output, before) || ct_is_zero(output));
    };
    const auto flipped = [&](std::size_t at, unsigned bit) {
      Buffer forged = sealed;
      forged[at] = static_cast<std::uint8_t>(forged[at] ^ (1U << bit));
      return forged;
    };
    ByteArray<32> other_key = key;
    other_key[31] ^= 0x80U;
    const std::size_t anywhere = source_.number() % sealed.size();
    for (const bool in_place : {false, true}) {
      expect_refused(flipped(sealed.size() - 1, 7), key, counter, in_place);
      expect_refused(flipped(length, 0), key, counter, in_place);
      expect_refused(flipped(0, 3), key, counter, in_place);
      expect_refused(flipped(anywhere, 5), key, counter, in_place);
      expect_refused(sealed, key, counter + 1, in_place);
      expect_refused(sealed, key, counter ^ (1ULL << 63U), in_place);
      expect_refused(sealed, other_key, counter, in_place);
    }
  }
}

TEST_P(Train, refuses_what_is_too_short_for_a_tag_and_writes_nothing) {
  Buffer sealed(tag_bytes, 0);
  Buffer output(tag_bytes, 0x55);
  for (std::size_t size = 0; size < tag_bytes; ++size) {
    OpenSegment open{.sealed = sealed.data(),
                     .plain = output.data(),
                     .sealed_bytes = size,
                     .counter = 0,
                     .opened = true};
    aead_.open(source_.key(), std::span(&open, 1));
    EXPECT_FALSE(open.opened) << size;
    EXPECT_EQ(output, Buffer(tag_bytes, 0x55));
  }
}

// A train of 64 lengths at one stride equals its packets one by one; and when it is opened, a
// forged packet in the middle costs its neighbours nothing.
TEST_P(Train, equals_its_packets_one_by_one) {
  constexpr std::size_t count = 64;
  constexpr std::size_t stride = 1500;
  const ByteArray<32> key = source_.key();
  Buffer out(count * stride);
  std::vector<Buffer> plains;
  std::vector<SealSegment> seals;
  for (std::size_t i = 0; i < count; ++i) {
    plains.push_back(source_.bytes(source_.number() % (stride - tag_bytes + 1)));
  }
  for (std::size_t i = 0; i < count; ++i) {
    seals.push_back({.plain = plains[i].data(),
                     .sealed = out.data() + i * stride,
                     .plain_bytes = plains[i].size(),
                     .counter = ~std::uint64_t{0} - i});
  }
  aead_.seal(key, seals);
  std::vector<OpenSegment> opens;
  for (std::size_t i = 0; i < count; ++i) {
    const Buffer alone = seal_one(aead_, key, plains[i], ~std::uint64_t{0} - i);
    EXPECT_TRUE(equal_public(alone, Bytes(out).subspan(i * stride, alone.size()))) << i;
    std::uint8_t* at = out.data() + i * stride;
    opens.push_back({.sealed = at,
                     .plain = at,
                     .sealed_bytes = alone.size(),
                     .counter = seals[i].counter,
                     .opened = i % 2 == 0});
  }
  out[31 * stride] ^= 1U;
  aead_.open(key, opens);
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT_EQ(opens[i].opened, i != 31) << i;
    if (i != 31) {
      EXPECT_TRUE(equal_public(plains[i], Bytes(opens[i].plain, plains[i].size()))) << i;
    }
  }
}

TEST_P(Train, may_be_empty) {
  aead_.seal(source_.key(), {});
  aead_.open(source_.key(), {});
}

INSTANTIATE_TEST_SUITE_P(Backends, Train, ::testing::ValuesIn(test_backends::all()),
                         [](const auto& backend) {
                           return test_backends::test_name(*backend.param);
                         });

TEST(Backends, are_equal_on_random_packets) {
  Bytesource source(7);
  for (int round = 0; round < 2000; ++round) {
    const ByteArray<32> key = source.key();
    const Buffer plain = source.bytes(source.number() % 2048);
    const std::uint64_t counter = source.number() >> (source.number() % 64);
    ASSERT_EQ(seal_one(aead_boringssl(), key, plain, counter),
              seal_one(aead_sodium(), key, plain, counter))
        << round;
  }
}

}  // namespace
}  // namespace wgring::crypto
