#include <sodium.h>

#include "crypto/aead.hpp"
#include "crypto/aead_raw.hpp"

namespace wgring::crypto {
namespace {

void seal_one(std::uint8_t* sealed, Bytes plain, Bytes aad, BytesOf<32> key,
              BytesOf<12> nonce) noexcept {
  const int failed = crypto_aead_chacha20poly1305_ietf_encrypt(sealed, nullptr, plain.data(),
                                                               plain.size(), aad.data(), aad.size(),
                                                               nullptr, nonce.data(), key.data());
  WG_ASSERT(failed == 0);
}

// The tag is judged before anything is decrypted; on a wrong one the output is zeroed.
bool open_one(std::uint8_t* plain, Bytes sealed, Bytes aad, BytesOf<32> key,
              BytesOf<12> nonce) noexcept {
  return sealed.size() >= tag_bytes && crypto_aead_chacha20poly1305_ietf_decrypt(
                                           plain, nullptr, nullptr, sealed.data(), sealed.size(),
                                           aad.data(), aad.size(), nonce.data(), key.data()) == 0;
}

void seal_train(BytesOf<32> key, std::span<const SealSegment> train) noexcept {
  for (const SealSegment& segment : train) {
    seal_one(segment.sealed, Bytes(segment.plain, segment.plain_bytes), {}, key,
             counter_nonce(segment.counter));
  }
}

void open_train(BytesOf<32> key, std::span<OpenSegment> train) noexcept {
  for (OpenSegment& segment : train) {
    segment.opened = open_one(segment.plain, Bytes(segment.sealed, segment.sealed_bytes), {}, key,
                              counter_nonce(segment.counter));
  }
}

void seal_raw(MutableBytes sealed, Bytes plain, Bytes aad, BytesOf<32> key,
              BytesOf<12> nonce) noexcept {
  WG_ASSERT(sealed.size() == plain.size() + tag_bytes);
  seal_one(sealed.data(), plain, aad, key, nonce);
}

bool open_raw(MutableBytes plain, Bytes sealed, Bytes aad, BytesOf<32> key,
              BytesOf<12> nonce) noexcept {
  WG_ASSERT(sealed.size() == plain.size() + tag_bytes);
  return open_one(plain.data(), sealed, aad, key, nonce);
}

constexpr Aead backend{.name = "sodium", .seal = seal_train, .open = open_train};
constexpr RawAead raw_backend{.name = "sodium", .seal = seal_raw, .open = open_raw};

}  // namespace

const Aead& aead_sodium() noexcept { return backend; }
const RawAead& raw_aead_sodium() noexcept { return raw_backend; }

}  // namespace wgring::crypto
